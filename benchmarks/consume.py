"""Measure the CPU time per record of `consume()`, over that of a bare loop, and of batches.

A consumer without a network hands over records that are already there. All variants run in turns
in one process. The result of each is the median over the rounds; the cost of a loop is the median
of the differences to the bare loop of the same round, with the quartiles.

    python -m benchmarks.consume [--records N] [--rounds R] [--sampled] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
from statistics import median, quantiles
from time import process_time, time
from typing import TYPE_CHECKING, Any, Final

from aiokafka.structs import ConsumerRecord, TopicPartition
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

import tracing
from tracing.testing import InMemoryBroker, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_TOPIC: Final = "orders"
_WARM_UP: Final = 200


class ReadyConsumer:
    """A consumer whose records are there already; a poll returns once all before it are handled.

    Args:
        partitions: Number of partitions.
        per_poll: Records of each partition that a poll returns.
        sampled: Whether the records' traces are sampled.
    """

    def __init__(self, partitions: int, per_poll: int, *, sampled: bool) -> None:
        self._partitions = [TopicPartition(_TOPIC, number) for number in range(partitions)]
        self._per_poll = per_poll
        self._flags = sampled
        self._offset = 0
        self._left = 0
        self._all_handled = asyncio.Event()
        self._all_handled.set()

    def handled(self) -> None:
        """Count a record as handled."""
        self._left -= 1
        if not self._left:
            self._all_handled.set()

    def end(self) -> None:
        """Let the last poll return."""
        self._all_handled.set()

    async def getmany(self, *_: Any, **__: Any) -> dict[TopicPartition, list[Any]]:
        """Return the next records, once those before are handled."""
        await self._all_handled.wait()
        self._all_handled.clear()
        await asyncio.sleep(0)
        first, self._offset = self._offset, self._offset + self._per_poll
        self._left = self._per_poll * len(self._partitions)
        return {
            tp: [self._record(tp.partition, offset) for offset in range(first, self._offset)]
            for tp in self._partitions
        }

    async def getone(self, *_: Any) -> Any:
        """Return nothing: only polls are measured."""
        raise NotImplementedError

    def assignment(self) -> frozenset[TopicPartition]:
        """Return all partitions."""
        return frozenset(self._partitions)

    def subscription(self) -> frozenset[str]:
        """Return the topic."""
        return frozenset({_TOPIC})

    def paused(self) -> frozenset[TopicPartition]:
        """Return none."""
        return frozenset()

    async def position(self, _: TopicPartition) -> int:
        """Return the offset of the next record."""
        return self._offset

    async def committed(self, _: TopicPartition) -> int:
        """Return an offset: the group is not new."""
        return self._offset

    async def commit(self, offsets: Any = None) -> None:
        """Commit to nowhere."""

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Stay there: what is left is never read."""

    def pause(self, *_: TopicPartition) -> None:
        """Continue."""

    def resume(self, *_: TopicPartition) -> None:
        """Continue."""

    def __aiter__(self) -> ReadyConsumer:
        return self

    def _record(self, partition: int, offset: int) -> Any:
        event = partition * 1_000_000 + offset + 1
        headers = (
            # As random ids, which hardly ever begin with zeros.
            ("traceparent", b"00-a%031x-a%015x-%02x" % (event, event, self._flags)),
            ("baggage", b"pipeline.name=orders,pipeline.origin=%d" % (time() * 1000)),
            ("ce_id", b"%032x" % event),
            ("ce_time", b"2026-09-21T14:00:00.%03dZ" % (event % 1000)),
            ("ce_specversion", b"1.0"),
            ("ce_source", b"/orders"),
            ("ce_type", b"OrderPlaced"),
        )
        return ConsumerRecord(
            _TOPIC, partition, offset, int(time() * 1000), 0, b"user-%d" % (event % 100),
            b"x" * 200, None, 10, 200, headers,
        )  # fmt: skip


class Run:
    """One run of a loop over some records.

    Args:
        client: The consumer.
        records: Number of records to measure.
        yields: Whether the handler lets other tasks run.
    """

    def __init__(self, client: ReadyConsumer, records: int, *, yields: bool) -> None:
        self.done = asyncio.Event()
        self.handler = self._yielding if yields else self._plain
        self._client = client
        self._count = 0
        self._last = records + _WARM_UP
        self._began = self._ended = 0.0

    @property
    def us(self) -> float:
        """CPU µs per record."""
        return (self._ended - self._began) / (self._last - _WARM_UP) * 1e6

    def count(self, records: int = 1) -> None:
        """Count records as handled."""
        for _ in range(records):
            self._count += 1
            if self._count == _WARM_UP:
                self._began = process_time()
            elif self._count == self._last:
                self._ended = process_time()
                self.done.set()
                self._client.end()
            self._client.handled()

    async def _plain(self, _: Any) -> None:
        self.count()

    async def _yielding(self, _: Any) -> None:
        await asyncio.sleep(0)
        self.count()


async def bare(consumer: Any, run: Run) -> None:
    """Handle each record in its process span, without anything else."""
    while not run.done.is_set():
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for record in records:
                async with consumer.process(record):
                    await run.handler(record)


async def polls(consumer: Any, run: Run) -> None:
    """Only poll."""
    while not run.done.is_set():
        for records in (await consumer.getmany(timeout_ms=200)).values():
            run.count(len(records))


async def untraced(consumer: Any, run: Run) -> None:
    """Only poll, without tracing."""
    await polls(consumer.wrapped, run)


async def batches(consumer: Any, run: Run) -> None:
    """Handle all records of a poll at once."""
    while not run.done.is_set():
        polled = await consumer.getmany(timeout_ms=200)
        records = [record for each in polled.values() for record in each]
        async with consumer.process_batch(records):
            run.count(len(records))


async def plain(consumer: Any, run: Run) -> None:
    """Run `consume` without options."""
    await tracing.consume(consumer, run.handler, stop=run.done)


async def retrying(consumer: Any, run: Run) -> None:
    """Run `consume` with retries."""
    await tracing.consume(consumer, run.handler, stop=run.done, retry=tracing.Retry(attempts=3))


async def with_dead_letters(consumer: Any, run: Run) -> None:
    """Run `consume` with dead letters."""
    producer = tracing.TracedProducer(InMemoryProducer(InMemoryBroker()), consumer.telemetry)
    letters = tracing.DeadLetters(producer)
    await tracing.consume(consumer, run.handler, stop=run.done, dead_letters=letters)


async def limited(consumer: Any, run: Run) -> None:
    """Run `consume` with limited concurrency."""
    await tracing.consume(consumer, run.handler, stop=run.done, concurrency=10)


LOOPS: Final[dict[str, Callable[[Any, Run], Awaitable[None]]]] = {
    "bare": bare,
    "consume": plain,
    "retry": retrying,
    "dead letters": with_dead_letters,
    "concurrency": limited,
}
"""Loops that handle record by record; the first one is what the others are compared with."""
BATCHES: Final[dict[str, Callable[[Any, Run], Awaitable[None]]]] = {
    "untraced": untraced,
    "polls": polls,
    "batches": batches,
}
"""Loops that handle all records of a poll at once, compared with the first one."""
SHAPES: Final = {
    "1 partition": (1, 500, False),
    "4 partitions": (4, 125, False),
    "4 partitions, yields": (4, 125, True),
    "50 partitions": (50, 10, False),
    "50 partitions, yields": (50, 10, True),
    "50 partitions, 1 each": (50, 1, False),
    "50 partitions, 1 each, yields": (50, 1, True),
}
"""Partitions, records of each per poll, and whether the handler yields."""


def measure(
    loop: Callable[[Any, Run], Awaitable[None]],
    shape: tuple[int, int, bool],
    records: int,
    *,
    sampled: bool,
) -> float:
    """Return CPU µs per record of one loop."""
    partitions, per_poll, yields = shape
    sampler = ParentBased(ALWAYS_ON if sampled else ALWAYS_OFF)
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    telemetry = tracing.Telemetry("orders", tracer_provider=provider)

    async def measured() -> float:
        client: Any = ReadyConsumer(partitions, per_poll, sampled=sampled)
        consumer = tracing.TracedConsumer(client, telemetry, group="billing")
        run = Run(client, records, yields=yields)
        # As in benchmarks.overhead: a full collection costs as much as the records' objects.
        gc.collect()
        gc.freeze()
        await loop(consumer, run)
        return run.us

    return asyncio.run(measured())


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--records", type=int, default=1_000, help="records per measurement")
    parser.add_argument("--rounds", type=int, default=25, help="rounds; the result is the median")
    parser.add_argument("--only", default="", help="only shapes whose name contains this")
    parser.add_argument("--sampled", action="store_true", help="sample all traces, not none")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.records < 1 or options.rounds < 2:  # noqa: PLR2004 - quartiles need two values
        parser.error("--records must be at least 1, --rounds at least 2")
    results: dict[str, dict[str, list[float]]] = {}
    for name, shape in SHAPES.items():
        if options.only not in name:
            continue
        loops = LOOPS if shape[2] else {**LOOPS, **BATCHES}
        measured = results[name] = {each: [] for each in loops}
        for _ in range(options.rounds):
            for each, loop in loops.items():
                us = measure(loop, shape, options.records, sampled=options.sampled)
                measured[each].append(us)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'CPU µs per record':44s} {'all':>6s} {'over':>6s}  quartiles of the difference")
    for name, measured in results.items():
        for each, values in measured.items():
            base = measured[next(iter(BATCHES if each in BATCHES else LOOPS))]
            over = [value - bare_us for value, bare_us in zip(values, base, strict=True)]
            low, _, high = quantiles(over, n=4)
            print(
                f"{name + ': ' + each:44s} {median(values):6.1f} {median(over):6.1f}  "
                f"{low:.1f} to {high:.1f}"
            )


if __name__ == "__main__":
    main()
