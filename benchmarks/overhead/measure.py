"""Measure one variant in this process; `turns` starts it.

    python -m benchmarks.overhead.measure VARIANT --servers HOST:PORT --topic NAME --messages N

CPU time is that of the process, without the broker. `VARIANT` and the result are JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
from dataclasses import asdict, dataclass
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.machine import pin
from benchmarks.overhead import application
from benchmarks.overhead.flat_path import FlatPath
from benchmarks.overhead.instrumentation import consume_loop, instrumented
from benchmarks.overhead.rows import Variant, Work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What one message costs, in CPU µs, and how many there were in a second."""

    cpu_us: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The result of one measurement.

    Attributes:
        phases: `send` and `receive`; only `forward`, if the work is to receive and send in one.
        flat: How many messages took the flat path; `None` without one.
    """

    phases: dict[str, Phase]
    flat: FlatPath | None = None

    @property
    def cpu_us(self) -> float:
        """The cost of a message in all phases."""
        return sum(phase.cpu_us for phase in self.phases.values())

    @property
    def rate(self) -> float:
        """Messages per second that go through all phases, one after the other."""
        return 1 / sum(1 / phase.rate for phase in self.phases.values())


def cost_from(document: dict[str, Any]) -> Cost:
    """Return the cost of a measurement's JSON."""
    flat = document["flat"]
    return Cost(
        phases={name: Phase(**phase) for name, phase in document["phases"].items()},
        flat=None if flat is None else FlatPath(**flat),
    )


async def measure(variant: Variant, servers: str, name: str, messages: int) -> Cost:
    """Measure sending and receiving with one variant in this process.

    Args:
        variant: What to measure.
        servers: The broker.
        name: The name of the topics, which are there and empty: see `application.topics_of`.
        messages: How many messages to send, besides some for a warm-up.
    """
    work = variant.work
    instrumentation = instrumented(variant)
    flush = instrumentation.flush
    topics = application.topics_of(work, name)
    producer: Any = instrumentation.producer(
        AIOKafkaProducer(bootstrap_servers=servers, **application.producer_options(work))
    )
    has_loop = work.reading == "consume" and variant.instrumentation == "ours"
    options = application.consumer_options(work, commits=has_loop)
    consumer: Any = instrumentation.consumer(
        AIOKafkaConsumer(*topics, bootstrap_servers=servers, **options)
    )
    handler = application.Handler(
        work, producer, application.forwarded(name), instrumentation.set_attributes
    )
    handle = instrumentation.around(handler.handle)
    async with producer, consumer:
        receive = application.receiver(work, consumer, handle)
        ending = None
        if has_loop:
            receive, ending = consume_loop(consumer, handle)
        warm_up = max(200, 2 * work.topics)
        await application.send(producer, work, topics, warm_up)
        await receive(warm_up)
        await handler.finish()
        flush()
        hide_from_garbage_collector()
        sending = application.send(producer, work, topics, messages)
        if work.forwards:
            await sending
            flush()
            forwarding = _all(receive(messages), handler.finish)
            phases = {"forward": await timed(forwarding, messages, flush)}
        else:
            phases = {"send": await timed(sending, messages, flush)}
            phases["receive"] = await timed(receive(messages), messages, flush)
        if ending is not None:
            await ending()
    flush()
    instrumentation.verify()
    return Cost(phases=phases, flat=instrumentation.flat_path())


def hide_from_garbage_collector() -> None:
    """Hide imports and set-up from the garbage collector.

    In every variant, a full collection then costs as much as the messages' objects.
    """
    gc.collect()
    gc.freeze()


async def _all(work: Awaitable[None], finish: Callable[[], Awaitable[None]]) -> None:
    await work
    await finish()


async def timed(work: Awaitable[None], messages: int, flush: Callable[[], object]) -> Phase:
    """Measure the CPU time of this process, all threads, for work and what is left to flush."""
    started, cpu = perf_counter(), process_time()
    await work
    flush()
    cpu = process_time() - cpu
    return Phase(cpu_us=cpu / messages * 1e6, rate=messages / (perf_counter() - started))


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant")
    parser.add_argument("--servers", required=True)
    parser.add_argument("--topic", required=True, help="the topic, or the beginning of the topics")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--cpu", type=int, help="the CPU on which to run")
    options = parser.parse_args()
    if options.cpu is not None:
        pin(options.cpu)
    document = json.loads(options.variant)
    variant = Variant(**{**document, "work": Work(**document["work"])})
    measuring = measure
    if variant.client != "aiokafka":
        from benchmarks.overhead import elsewhere  # noqa: PLC0415 - only for these variants

        measuring = elsewhere.measure
    cost = asyncio.run(measuring(variant, options.servers, options.topic, options.messages))
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main()
