"""Waits of handlers for what they share: a part of their processing that is shown apart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import tracing
from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.metrics.message_types import MAX_MESSAGE_TYPES
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.tracing.conftest import _InMemory

WAIT = "pipeline.resource.wait.duration"
PROCESS = "messaging.process.duration"
HOP = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "g"}


class Reader:
    """One record in memory, and a consumer of it."""

    def __init__(self, capture: Capture) -> None:
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
        )

    async def record(self) -> AsyncIterator[tuple[TracedConsumer, Any]]:
        broker = InMemoryBroker()
        broker.create_topic("orders", partitions=1)
        async with TracedProducer(InMemoryProducer(broker), self.telemetry) as producer:
            await producer.send_and_wait("orders", b"1", headers=tracing.cloudevent(type="X"))
        bare = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
        async with TracedConsumer(bare, self.telemetry, group="g") as consumer:
            yield consumer, await consumer.getone()


def _sum(capture: Capture, name: str, **labels: str) -> tuple[int, Any]:
    found: Any = capture.metric(name, {**HOP, **labels})
    return (0, 0.0) if found is None else (found.count, found.sum)


def _noted(capture: Capture, operation: str = "process") -> list[dict[str, Any]]:
    """Return the waits on the spans of an operation, by resource."""
    return [
        {
            name.rpartition(".")[2]: value
            for name, value in (span.attributes or {}).items()
            if name.startswith("pipeline.resource.wait.") and isinstance(value, float)
        }
        for span in capture.spans()
        if (span.attributes or {}).get("messaging.operation.name") == operation
    ]


async def test_a_wait_is_on_the_process_span_and_a_part_of_the_processing_time() -> None:
    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record):
                with tracing.waiting_for("database"):
                    await asyncio.sleep(0.02)

        count, waited_s = _sum(capture, WAIT, resource="database")
        assert 1 == count
        assert 0.02 <= waited_s <= _sum(capture, PROCESS)[1]
        assert [{"database": pytest.approx(waited_s)}] == _noted(capture)


async def test_waits_for_one_resource_add_up_on_the_span_and_others_are_apart() -> None:
    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record):
                await asyncio.sleep(0.05)
                for resource, seconds in (("database", 0.01), ("quota", 0.004), ("database", 0.02)):
                    tracing.waited_for(resource, seconds)

        assert [{"database": pytest.approx(0.03), "quota": pytest.approx(0.004)}] == _noted(capture)
        assert (2, pytest.approx(0.03)) == _sum(capture, WAIT, resource="database")
        assert (1, pytest.approx(0.004)) == _sum(capture, WAIT, resource="quota")


async def test_waits_at_the_same_time_count_no_longer_than_the_handler_took() -> None:
    async def wait(resource: str) -> None:
        with tracing.waiting_for(resource):
            await asyncio.sleep(0.03)

    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record):
                await asyncio.gather(wait("database"), wait("quota"), wait("database"))

        waited_s = sum(_noted(capture)[0].values())
        assert 0.03 <= waited_s <= _sum(capture, PROCESS)[1]


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 3600.0])
async def test_a_wait_that_cannot_be_is_not_believed(seconds: float) -> None:
    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record):
                tracing.waited_for("database", seconds)

        count, waited_s = _sum(capture, WAIT, resource="database")
        assert 1 == count
        assert 0 <= waited_s <= _sum(capture, PROCESS)[1]


async def test_a_wait_of_an_odd_type_hurts_no_handler() -> None:
    odd: Any = object()
    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record):
                tracing.waited_for("database", odd)
                tracing.waited_for(odd, 0.0)
                tracing.waited_for("x" * 1000, 0.0)

        assert [{"object": 0.0, "_OTHER": 0.0}] == _noted(capture)
        assert 1 == _sum(capture, PROCESS)[0]


async def test_without_sampling_waits_are_counted_all_the_same() -> None:
    with Capture(sampler=ALWAYS_OFF) as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record):
                await asyncio.sleep(0.02)
                tracing.waited_for("database", 0.01)

        assert (1, pytest.approx(0.01)) == _sum(capture, WAIT, resource="database")
        assert () == capture.spans()


async def test_a_wait_inside_a_span_of_the_handler_is_on_the_process_span() -> None:
    with Capture() as capture:
        tracer = capture.tracer_provider.get_tracer("t")
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record):
                await asyncio.sleep(0.02)
                with tracer.start_as_current_span("SELECT"):
                    tracing.waited_for("database", 0.01)

        assert [{"database": pytest.approx(0.01)}] == _noted(capture)


async def test_a_block_that_raises_has_waited() -> None:
    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            with pytest.raises(TimeoutError):
                async with consumer.process(record):
                    with tracing.waiting_for("database"):
                        raise TimeoutError

        assert 1 == _sum(capture, WAIT, resource="database")[0]


async def test_a_thread_in_the_handlers_context_waits_for_it() -> None:
    def query() -> None:
        with tracing.waiting_for("database"):
            pass

    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record):
                query()
                await asyncio.to_thread(query)

        assert 2 == _sum(capture, WAIT, resource="database")[0]


async def test_outside_of_a_handler_a_wait_is_nothing() -> None:
    async def afterwards(ended: asyncio.Event) -> None:
        await ended.wait()
        tracing.waited_for("database", 0.0)

    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            ended = asyncio.Event()
            async with consumer.process(record):
                task = asyncio.create_task(afterwards(ended))
            ended.set()
            await task
            tracing.waited_for("database", 0.0)

        assert 0 == _sum(capture, WAIT, resource="database")[0]
        assert [{}] == _noted(capture)


async def test_a_handling_that_is_rejected_keeps_its_waits() -> None:
    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record) as processing:
                await asyncio.sleep(0.03)
                tracing.waited_for("database", 0.01)
                processing.reject("sold out")
                tracing.waited_for("database", 0.01)

        assert [{"database": pytest.approx(0.02)}] == _noted(capture)


async def test_each_attempt_has_its_own_waits(memory: _InMemory, capture: Capture) -> None:
    producer = await memory.producer()
    consumer = await memory.consumer("orders", group="g")
    seconds = iter((0.01, 0.02, 0.03))

    async def handle(_record: object) -> None:
        await asyncio.sleep(0.04)
        waited_s = next(seconds)
        tracing.waited_for("database", waited_s)
        if waited_s < 0.03:
            raise ConnectionError

    stop = asyncio.Event()
    retry = tracing.Retry(attempts=3, delay_s=0.001)
    running = asyncio.create_task(tracing.consume(consumer, handle, retry=retry, stop=stop))
    await producer.send_and_wait("orders", b"1")
    assert await eventually(lambda: len(_noted(capture)) == 1)
    stop.set()
    await running

    first = [{"database": pytest.approx(0.01)}]
    later = [{"database": pytest.approx(0.02)}, {"database": pytest.approx(0.03)}]
    assert (first, later) == (_noted(capture), _noted(capture, "retry"))
    assert (3, pytest.approx(0.06)) == _sum(capture, WAIT, resource="database")


async def test_a_batch_has_the_waits_of_its_handler() -> None:
    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process_batch([record]):
                await asyncio.sleep(0.02)
                tracing.waited_for("database", 0.01)
            tracing.waited_for("database", 0.01)

        assert [{"database": pytest.approx(0.01)}] == _noted(capture)
        assert (1, pytest.approx(0.01)) == _sum(capture, WAIT, resource="database")


async def test_waits_of_a_batch_of_several_topics_name_none(
    memory: _InMemory, capture: Capture
) -> None:
    producer = await memory.producer()
    for topic in ("orders", "payments"):
        await producer.send_and_wait(topic, b"1")
    consumer = await memory.consumer("orders", "payments", group="g")
    records = [await consumer.getone(), await consumer.getone()]

    async with consumer.process_batch(records):
        tracing.waited_for("database", 0.0)

    group = {"messaging.consumer.group.name": "g"}
    found: Any = capture.metric(WAIT, {**group, "resource": "database"})
    assert 1 == found.count


async def test_the_metrics_of_a_process_name_a_bounded_number_of_resources() -> None:
    with Capture() as capture:
        async for consumer, record in Reader(capture).record():
            async with consumer.process(record):
                for number in range(MAX_MESSAGE_TYPES + 3):
                    tracing.waited_for(f"lock-{number}", 0.0)

        assert 1 == _sum(capture, WAIT, resource=f"lock-{MAX_MESSAGE_TYPES - 1}")[0]
        assert 0 == _sum(capture, WAIT, resource=f"lock-{MAX_MESSAGE_TYPES}")[0]
        assert 3 == _sum(capture, WAIT, resource="_OTHER")[0]
