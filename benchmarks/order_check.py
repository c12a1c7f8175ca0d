"""Measure what checking the order costs: CPU time per record, and memory.

Records of many keys are handled in their process spans, with and without the check in turns, in one
process and without a broker. The result is the best round of each: the machine's other work only
adds to it.

    python -m benchmarks.order_check [--records N] [--keys K] [--rounds R] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tracemalloc
from time import process_time
from typing import TYPE_CHECKING, Any, Final

from aiokafka.structs import ConsumerRecord
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from tracing import Telemetry, TracedConsumer
from tracing.kafka.transport import KAFKA
from tracing.messaging.order import OrderCheck
from tracing.messaging.order_memory import MAX_KEYS
from tracing.messaging.transport import ClientInfo
from tracing.testing import InMemoryBroker, InMemoryConsumer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TOPIC: Final = "orders"
_PARTITIONS: Final = 4
_MB: Final = 1_000_000


def records_of(number: int, keys: int) -> Iterator[Any]:
    """Make records in order, as a traced producer writes them."""
    offsets = [0] * _PARTITIONS
    for event in range(number):
        key = event % keys
        partition = key % _PARTITIONS
        second, millisecond = divmod(event, 1000)
        minute, second = divmod(second, 60)
        headers = (
            ("traceparent", b"00-%032x-%016x-00" % (event + 1, event + 1)),
            ("baggage", b"pipeline.name=orders,pipeline.origin=1790000000000"),
            ("ce_id", b"%032x" % event),
            ("ce_time", b"2026-09-21T14:%02d:%02d.%03dZ" % (minute % 60, second, millisecond)),
            ("ce_specversion", b"1.0"),
            ("ce_source", b"/orders"),
            ("ce_type", b"OrderPlaced"),
        )
        yield ConsumerRecord(
            _TOPIC, partition, offsets[partition], 1_790_000_000_000, 0, b"user-%d" % key,
            b"x" * 200, None, 10, 200, headers,
        )  # fmt: skip
        offsets[partition] += 1


def handle_us(records: Sequence[Any], *, sampled: bool, checked: bool) -> float:
    """Handle all records in their process spans; return CPU µs per record."""
    provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF, shutdown_on_exit=False)
    telemetry = Telemetry("orders", tracer_provider=provider, order_check=checked)
    consumer = TracedConsumer(InMemoryConsumer(_TOPIC, broker=InMemoryBroker()), telemetry)

    async def handle() -> float:
        process, task = consumer.process, asyncio.current_task()
        # As in benchmarks.overhead: a full collection costs as much as the records' objects.
        gc.collect()
        gc.freeze()
        started = process_time()
        for record in records:
            processing = process(record)
            processing.start(task)
            processing.end(None, task)
        return process_time() - started

    return asyncio.run(handle()) / len(records) * 1e6


def memory_mb() -> float:
    """Return how much memory a full check takes, in MB."""
    check = OrderCheck(Telemetry("orders", order_check=True), ClientInfo(transport=KAFKA))
    lanes: dict[int, Any] = {p: check.lane(_TOPIC, (_TOPIC, p)) for p in range(_PARTITIONS)}
    tracemalloc.start()
    most = 0
    # The memory keeps a record's time, so the records are made, and go, meanwhile.
    for record in records_of(4 * MAX_KEYS, 4 * MAX_KEYS):
        lanes[record.partition].fault(record, dict(record.headers))
        most = max(most, tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return most / _MB


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--records", type=int, default=5_000, help="records per round")
    parser.add_argument("--keys", type=int, default=1_000, help="keys of the records")
    parser.add_argument("--rounds", type=int, default=20, help="rounds; the best one counts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if min(options.records, options.keys, options.rounds) < 1:
        parser.error("--records, --keys and --rounds must be at least 1")
    records = list(records_of(options.records, options.keys))
    best: dict[str, float] = {}
    for _ in range(options.rounds):
        for sampled in (True, False):
            for checked in (False, True):
                name = f"{'all' if sampled else 'none'} sampled, {'on' if checked else 'off'}"
                cost = handle_us(records, sampled=sampled, checked=checked)
                best[name] = min(cost, best.get(name, cost))
    best["MB when full"] = memory_mb()
    if options.json:
        print(json.dumps(best, indent=2))
        return
    for name, value in best.items():
        print(f"{name:24s} {value:8.2f}")


if __name__ == "__main__":
    main()
