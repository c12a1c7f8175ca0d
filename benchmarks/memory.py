"""Measure whether memory stays flat: the high-water mark after ten thousand and a million messages.

`python -m benchmarks.memory` sends, receives and forwards typed events, each with an id, a subject
and an offset of its own, on clients without a broker, with spans encoded and metrics collected. The
exit code is 1 if the process has grown by more than `--limit` MiB between the first and the last
figure.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import sys
import time
from typing import Final

from benchmarks.overhead import application
from benchmarks.overhead.instrumentation import instrumented
from benchmarks.overhead.rows import Variant, Work
from benchmarks.stub_clients import StubLog, stub_consumer, stub_producer

_WORK: Final = Work(forwards=True)
_AT_ONCE: Final = 1000
_DEFAULT: Final = (10_000, 100_000, 1_000_000)
# Linux counts KiB, macOS bytes.
_UNITS_PER_MIB: Final = 1 << (20 if sys.platform == "darwin" else 10)


def high_water_mark_mib() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNITS_PER_MIB


async def measure(variant: Variant, marks: tuple[int, ...]) -> list[float]:
    """Send, receive and forward messages; return the high-water mark at each number of them."""
    topics = application.topics_of(variant.work, "bench")
    StubLog(set(topics))
    instrumentation = instrumented(variant)
    producer = instrumentation.producer(stub_producer())
    consumer = instrumentation.consumer(stub_consumer(topics))
    handler = application.Handler(
        variant.work, producer, application.forwarded("bench"), instrumentation.set_attributes
    )
    receive = application.receiver(variant.work, consumer, instrumentation.around(handler.handle))
    measured, done, began = [], 0, time.monotonic()
    for mark in marks:
        while done < mark:
            await application.send(producer, variant.work, topics, _AT_ONCE, first=done)
            await receive(_AT_ONCE)
            await handler.finish()
            instrumentation.flush()
            done += _AT_ONCE
        gc.collect()
        measured.append(high_water_mark_mib())
        print(
            f"{done:>10,} messages {measured[-1]:8.1f} MiB {measured[-1] - measured[0]:+6.1f} MiB"
            f"  {time.monotonic() - began:6.0f} s",
            flush=True,
        )
    await producer.stop()
    await consumer.stop()
    instrumentation.verify()
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--messages",
        type=int,
        nargs="+",
        default=_DEFAULT,
        help="numbers of messages at which to measure; they are sent by the thousand",
    )
    parser.add_argument("--limit", type=float, default=5.0, help="the growth allowed, in MiB")
    parser.add_argument("--unsampled", action="store_true", help="sample nothing")
    options = parser.parse_args()
    variant = Variant(
        work=_WORK, instrumentation="ours", sampled=0.0 if options.unsampled else 1.0, encoded=True
    )
    measured = asyncio.run(measure(variant, tuple(options.messages)))
    growth = measured[-1] - measured[0]
    if growth > options.limit:
        sys.exit(f"error: memory has grown by {growth:.1f} MiB, more than {options.limit:g} MiB")


if __name__ == "__main__":
    main()
