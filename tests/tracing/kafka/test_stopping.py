"""A consumer stops in full, whatever its broker does at that time."""

import asyncio
import logging
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from demo_pipeline.broker import EmbeddedBroker, create_topics
from tracing import Telemetry, TracedConsumer
from tracing.kafka.forwarding import stop_in_full
from tracing.testing import eventually


@pytest.mark.integration
async def test_a_consumer_whose_broker_is_gone_stops_without_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic = f"orders-{uuid4().hex[:8]}"
    async with EmbeddedBroker() as broker:
        servers = broker.bootstrap_servers
        await create_topics(servers, {topic: 1})
        # So that the failed fetch still waits when the consumer stops.
        bare = AIOKafkaConsumer(bootstrap_servers=servers, retry_backoff_ms=60_000)
        consumer = TracedConsumer(bare, Telemetry("stopping"))
        bare.assign([TopicPartition(topic, 0)])
        await consumer.start()
        await consumer.seek_to_end()
        polling = asyncio.create_task(consumer.getmany(timeout_ms=60_000))
        # The fetch is on its way.
        fetcher: Any = bare._fetcher
        await eventually(lambda: bool(fetcher._pending_tasks))
    with caplog.at_level(logging.ERROR, "aiokafka"):
        await eventually(lambda: "Failed fetch messages" in caplog.text)

    async with asyncio.timeout(30):
        await consumer.stop()

    assert {} == await polling
    assert [] == [each for each in bare._client._conns.values() if each.connected()]
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


class Stopping:
    """A consumer whose stop waits for a task of its own."""

    def __init__(self, *, cancels_itself: bool) -> None:
        self.reached = asyncio.Event()
        self._cancels_itself = cancels_itself
        self.closed = 0
        self._client = self

    async def close(self) -> None:
        self.closed += 1

    async def stop(self) -> None:
        own = asyncio.ensure_future(asyncio.Event().wait())
        self.reached.set()
        if self._cancels_itself:
            own.cancel()
        await own


def stopped(double: Stopping) -> asyncio.Task[None]:
    return asyncio.create_task(stop_in_full(double.stop, double))


async def test_connections_are_closed_where_a_cancelled_fetch_ends_the_stop() -> None:
    double = Stopping(cancels_itself=True)

    await stopped(double)

    assert 1 == double.closed


async def test_a_stop_that_is_cancelled_ends_with_the_cancellation() -> None:
    double = Stopping(cancels_itself=False)
    task = stopped(double)
    await double.reached.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0 == double.closed
