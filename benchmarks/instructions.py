"""Count the instructions that a message costs: a second opinion that a busy machine cannot change.

`python -m benchmarks.instructions` runs the rows of `benchmarks.overhead` under Valgrind, which has
to be installed, on clients without a broker. Counts differ by a per cent or two between runs;
instructions are no time, because code that misses the caches takes longer. So compare the ratios
with those of `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.overhead.rows import Variant, Work, chosen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.overhead.rows import Row

_ROOT: Final = Path(__file__).resolve().parent.parent
_WARM_UP: Final = 300
_TOTALS: Final = re.compile(r"^(?:totals|summary):\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The result for one variant.

    Attributes:
        phases: Instructions per message, by phase.
        flat: The share of messages that took the flat path; `None` without one.
    """

    phases: dict[str, float]
    flat: float | None

    def over(self, bare: Counted) -> dict[str, float]:
        """Return what it adds to the bare client, by phase."""
        return {phase: spent - bare.phases[phase] for phase, spent in self.phases.items()}


def _control(*arguments: str) -> None:
    subprocess.run(  # noqa: S603 - Valgrind's own program
        ["callgrind_control", *arguments, str(os.getpid())],  # noqa: S607 - wherever it is
        check=True,
        capture_output=True,
    )


async def _run(variant: Variant, messages: int) -> dict[str, Any]:
    """Run a variant under Valgrind; return its phases, each of which ends with a dump."""
    from benchmarks.overhead import application  # noqa: PLC0415 - only in the measured process
    from benchmarks.overhead.instrumentation import instrumented  # noqa: PLC0415 - as above
    from benchmarks.overhead.measure import hide_from_garbage_collector  # noqa: PLC0415 - as above
    from benchmarks.stub_clients import StubLog, stub_consumer, stub_producer  # noqa: PLC0415

    work = variant.work
    topics = application.topics_of(work, "bench")
    StubLog(set(topics))
    instrumentation = instrumented(variant)
    producer = instrumentation.producer(stub_producer())
    consumer = instrumentation.consumer(stub_consumer(topics))
    handler = application.Handler(
        work, producer, application.forwarded("bench"), instrumentation.set_attributes
    )
    receive = application.receiver(work, consumer, instrumentation.around(handler.handle))
    # What is made for a topic is made with its first message.
    warm_up = max(_WARM_UP, 2 * work.topics)
    await application.send(producer, work, topics, warm_up)
    await receive(warm_up)
    await handler.finish()
    instrumentation.flush()
    hide_from_garbage_collector()
    _control("-i", "on")
    _control("-d")
    # Between these two is only what a dump itself costs, and a flush without messages.
    instrumentation.flush()
    _control("-d")
    await application.send(producer, work, topics, messages)
    instrumentation.flush()
    _control("-d")
    await receive(messages)
    await handler.finish()
    instrumentation.flush()
    _control("-d")
    await producer.stop()
    await consumer.stop()
    instrumentation.verify()
    flat = instrumentation.flat_path()
    return {
        "phases": ["send", "forward" if work.forwards else "receive"],
        "flat": None if flat is None else flat.share,
    }


def count(variant: Variant, messages: int) -> Counted:
    """Count the instructions of a variant, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={output}", sys.executable, "-m", __spec__.name]
        command += ["--one", json.dumps(asdict(variant)), "--messages", str(messages)]
        done = subprocess.run(  # noqa: S603 - Valgrind, with ourselves
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=_ROOT,
            # Otherwise sets and dictionaries have another order in each run.
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        if done.returncode:
            sys.exit(f"error: {variant.name} failed:\n{done.stderr[-2000:]}")
        dumps = [total(Path(f"{output}.{number}").read_text()) for number in (2, 3, 4)]
    printed = json.loads(done.stdout)
    empty, *counted = dumps
    counts = {
        phase: (whole - empty) / messages
        for phase, whole in zip(printed["phases"], counted, strict=True)
    }
    if "forward" in counts:
        del counts["send"]
    return Counted(phases=counts, flat=printed["flat"])


def total(dump: str) -> int:
    """Return the number of instructions in a dump of Callgrind.

    Raises:
        ValueError: There is none.
    """
    match = _TOTALS.search(dump)
    if match is None:
        raise ValueError("a dump of Callgrind has no total")
    return int(match[1])


def compare(rows: Sequence[Row], messages: int) -> None:
    """Count and print all rows."""
    print(
        f"{'1,000 instructions per message':<38}{'bare':>7}{'ours +':>8}{'official +':>12}"
        f"{'ratio':>7}  ours by phase, share of the flat path"
    )
    known: dict[Variant, Counted] = {}
    for row in rows:
        ours, official = row.variant("ours"), row.variant("official")
        for variant in (ours.bare, ours, official):
            if variant not in known:
                known[variant] = count(variant, messages)
        bare = known[ours.bare]
        by_phase = known[ours].over(bare)
        mine, theirs = sum(by_phase.values()), sum(known[official].over(bare).values())
        phases = ", ".join(f"{phase} {spent / 1000:.1f}" for phase, spent in by_phase.items())
        flat = known[ours].flat
        print(
            f"{row.title:<38}{sum(bare.phases.values()) / 1000:>7.1f}{mine / 1000:>8.1f}"
            f"{theirs / 1000:>12.1f}{mine / theirs:>7.2f}  {phases}"
            f"{'' if flat is None else f'; {flat:.0%}'}",
            flush=True,
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows",
        default="sampled,encoded,unsampled,attributes,forwarded",
        help="rows of benchmarks.overhead that send and receive one by one",
    )
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        document = json.loads(options.one)
        variant = Variant(**{**document, "work": Work(**document["work"])})
        print(json.dumps(asyncio.run(_run(variant, options.messages))))
        return
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        sys.exit("error: Valgrind is not installed (valgrind and callgrind_control)")
    try:
        rows = chosen(options.rows.split(","))
    except ValueError as error:
        parser.error(str(error))
    unsuitable = [row.name for row in rows if row.work.reading not in {"iterate", "process"}]
    if unsuitable:
        parser.error(f"these rows need a broker: {', '.join(unsuitable)}")
    compare(rows, options.messages)


if __name__ == "__main__":
    main()
