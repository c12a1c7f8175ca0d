"""Loops over several consumers in one task, and tasks that each start the next."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from opentelemetry.context import get_current

from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer

RECORDS = 20


@pytest.fixture
async def broker() -> InMemoryBroker:
    broker = InMemoryBroker()
    for topic in ("left", "right"):
        broker.create_topic(topic, partitions=1)
    async with InMemoryProducer(broker) as producer:
        for topic in ("left", "right"):
            for _ in range(RECORDS):
                await producer.send_and_wait(topic, b"v")
    return broker


def consumer_of(broker: InMemoryBroker, topic: str, telemetry: Telemetry) -> Any:
    inner: Any = InMemoryConsumer(topic, broker=broker, auto_offset_reset="earliest")
    return TracedConsumer(inner, telemetry)


@pytest.mark.parametrize("first_left", ["left", "right"])
async def test_two_loops_of_one_task_leave_no_context_in_any_order(
    telemetry: Telemetry, capture: Capture, broker: InMemoryBroker, first_left: str
) -> None:
    bare: Any = InMemoryProducer(broker)
    producer = TracedProducer(bare, telemetry)
    before = get_current()
    async with (
        producer,
        consumer_of(broker, "left", telemetry) as left,
        consumer_of(broker, "right", telemetry) as right,
    ):
        loops = {"left": aiter(left), "right": aiter(right)}
        for number in range(2):
            for name in ("left", "right"):
                await anext(loops[name])
                await producer.send_and_wait(f"{name}-{number}", b"v")
        del loops[first_left]
        await producer.send_and_wait("between", b"v")
        loops.clear()
        await producer.send_and_wait("after", b"v")

        assert before is get_current()

    spans = {span.name: span for span in capture.spans()}
    assert None is spans["send after"].parent
    assert None is spans["send between"].parent or first_left == "left"
    for name in ("left", "right"):
        sends = [spans[f"send {name}-{number}"].parent for number in range(2)]
        handled = [span.context for span in capture.spans() if span.name == f"process {name}"]
        assert handled == sends


@pytest.mark.parametrize("way", ["loop", "block", "batch"])
async def test_a_chain_of_tasks_keeps_no_references_to_earlier_tasks(
    telemetry: Telemetry, capture: Capture, broker: InMemoryBroker, way: str
) -> None:
    tracer = capture.tracer_provider.get_tracer("program")
    contexts: list[weakref.ref[Any]] = []
    alive: list[int] = []
    over = asyncio.Event()

    async with consumer_of(broker, "left", telemetry) as consumer:

        def start_next() -> None:
            contexts.append(weakref.ref(get_current()))
            with tracer.start_as_current_span("within"):
                asyncio.create_task(work())  # noqa: RUF006 - it ends before the test

        async def work() -> None:
            if len(contexts) == RECORDS:
                capture.clear()
                gc.collect()
                alive.append(sum(context() is not None for context in contexts))
                over.set()
                return
            if way == "loop":
                async for _ in consumer:
                    start_next()
                    break
                return
            record = await consumer.getone()
            async with (
                consumer.process(record) if way == "block" else consumer.process_batch([record])
            ):
                start_next()

        await work()
        await over.wait()

    assert alive[0] <= 3
