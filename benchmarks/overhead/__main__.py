"""Measure the cost per message of this library and of the official instrumentation.

Every variant runs in its own process against one broker. The variants take turns, so that changes
in the machine's speed affect all of them; where the system can pin processes, the broker has one
CPU and the client another. CPU time is that of the client's process. The result is what each
variant adds to bare aiokafka, and the ratio of ours to the official instrumentation: the median of
the ratios of all rounds, with their quartiles.

FastStream's telemetry and the official instrumentation of confluent-kafka are measured as well if
they are installed (`pip install 'faststream[kafka,otel]'
opentelemetry-instrumentation-confluent-kafka`), each against its own bare client.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import describe, two_cpus
from benchmarks.overhead.elsewhere import installed
from benchmarks.overhead.figures import result_of
from benchmarks.overhead.rows import ROWS, chosen
from benchmarks.overhead.serialized import document_of
from benchmarks.overhead.table import tables
from benchmarks.overhead.turns import MeasurementError, compare, variants_of
from demo_pipeline.runtime.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.overhead.rows import Row


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="rows:\n" + "\n".join(f"  {row.name:<12} {row.title}" for row in ROWS),
    )
    parser.add_argument(
        "--rows", default="", metavar="ROW,...", help="measure only these rows (see below)"
    )
    parser.add_argument("--messages", type=int, default=10_000, help="messages per measurement")
    parser.add_argument("--rounds", type=int, default=7, help="rounds, 7 or more for a figure")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write JSON to this file")
    parser.add_argument(
        "--no-pin", action="store_true", help="do not pin the broker and the client to CPUs"
    )
    parser.add_argument(
        "--no-others", action="store_true", help="do not measure FastStream and confluent-kafka"
    )
    return parser


def main() -> None:
    """Run from the command line."""
    parser = _parser()
    options = parser.parse_args()
    if options.messages < 1 or options.rounds < 1:
        parser.error("--messages and --rounds must be at least 1")
    if options.output is not None and not options.output.parent.is_dir():
        parser.error(f"--output: there is no folder {options.output.parent}")
    try:
        rows = chosen(name.strip() for name in options.rows.split(",") if name.strip())
    except ValueError as error:
        parser.error(str(error))
    try:
        shown = _measured(rows, options)
    except (MeasurementError, BrokerError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(shown)


def _measured(rows: Sequence[Row], options: Any) -> str:
    others = () if options.no_others else installed(_progress)
    cpus = None if options.no_pin else two_cpus()
    if cpus is None:
        _progress("processes are not pinned to CPUs; expect a wider spread")
    began = time.monotonic()
    costs = asyncio.run(
        compare(
            variants_of(rows, others),
            messages=options.messages,
            rounds=options.rounds,
            cpus=cpus,
            report=_progress,
        )
    )
    _progress(f"measured in {time.monotonic() - began:,.0f} s")
    results = [result_of(row, costs) for row in rows]
    run = {
        "command": " ".join(["python -m benchmarks.overhead", *sys.argv[1:]]),
        "messages": options.messages,
        "rounds": options.rounds,
        "pinned": cpus is not None,
        "machine": describe(),
    }
    document = json.dumps(document_of(run, results), indent=2) + "\n"
    if options.output is not None:
        options.output.write_text(document)
    return document if options.json else tables(results)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
