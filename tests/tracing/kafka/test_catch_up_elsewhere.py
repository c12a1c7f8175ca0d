"""Catch-up without wrappers, and inside transactions."""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

import tracing
from tests.tracing.kafka.conftest import consumer_options
from tracing.testing import Capture, HistogramValue, eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients
    from tests.tracing.kafka.conftest import ZeroCodeRun

WAIT = "pipeline.wait.duration"

pytestmark = pytest.mark.integration


async def _send(servers: str, topic: str, number: int) -> None:
    """Send records that are an hour old."""
    written_ms = int((time() - 3600) * 1000)
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for _ in range(number):
            await producer.send_and_wait(topic, b"v", partition=0, timestamp_ms=written_ms)


def _waits(capture: Capture, topic: str) -> int:
    found = capture.metric(WAIT, {"messaging.destination.name": topic})
    return found.count if isinstance(found, HistogramValue) else 0


async def test_without_wrappers_a_new_group_on_history_is_not_late(
    zero_code: ZeroCodeRun, topic: str, embedded_servers: str
) -> None:
    await _send(embedded_servers, topic, 3)
    zero_code.on()
    handled = 0
    async with AIOKafkaConsumer(topic, **consumer_options(embedded_servers)) as consumer:
        async for _ in consumer:
            handled += 1
            if handled == 3:
                break

    assert 0 == _waits(zero_code.capture, topic)


async def test_without_wrappers_a_group_that_was_away_is_late(
    zero_code: ZeroCodeRun, topic: str, embedded_servers: str
) -> None:
    await _send(embedded_servers, topic, 9)
    options = consumer_options(embedded_servers)
    async with AIOKafkaConsumer(topic, **options) as before:
        await before.getone()
        await before.commit()
    zero_code.on()
    handled = 0
    async with AIOKafkaConsumer(topic, **options) as consumer:
        async for _ in consumer:
            handled += 1
            # Those that are there before the broker's answer are in no figure.
            await asyncio.sleep(0.05)
            if handled == 8:
                break

    assert _waits(zero_code.capture, topic) >= 6


@pytest.mark.kafka
@pytest.mark.parametrize("clients", ["kafka"], indirect=True)
async def test_offsets_in_transactions_say_that_the_group_catches_up(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    written_ms = int((time() - 3600) * 1000)
    for _ in range(6):
        await producer.send_and_wait(topic, b"v", partition=0, timestamp_ms=written_ms)
    handled: list[Any] = []

    async def handle_until(number: int) -> None:
        stop = asyncio.Event()

        async def handle(record: Any) -> None:
            handled.append(record.offset)
            if len(handled) >= number:
                stop.set()

        transactional = await clients.producer(transactional_id=f"{topic}-once")
        consumer = await clients.consumer(
            topic, group="once", max_poll_records=1, isolation_level="read_committed"
        )
        await tracing.consume(consumer, handle, stop=stop, transactional=transactional)
        await consumer.stop()
        await transactional.stop()

    await handle_until(2)
    after = await clients.consumer(topic, group="once")
    coordinator: Any = after.wrapped
    tp = TopicPartition(topic, 0)

    async def marked() -> bool:
        offsets = await coordinator._coordinator.fetch_committed_offsets([tp])
        return bool(offsets[tp].metadata == "pipeline.catch_up=6")

    assert await eventually(marked)
    await after.stop()
    await handle_until(6)

    assert (0, 6) == (
        _waits(capture, topic),
        capture.metric("pipeline.catch_up.records", {"messaging.destination.name": topic}),
    )
