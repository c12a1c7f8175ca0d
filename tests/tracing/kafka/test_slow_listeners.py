"""Records fetched while an application's slow rebalance listener runs are handled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.abc import ConsumerRebalanceListener

import tracing
from tracing import TracedConsumer
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiokafka.structs import TopicPartition

    from tests.tracing.conftest import _Real
    from tracing import TracedProducer


class Slow(ConsumerRebalanceListener):
    """Lets records be sent and fetched while partitions come again."""

    def __init__(self, producer: TracedProducer) -> None:
        self.sent: set[bytes] = set()
        self.came_again = asyncio.Event()
        self.consumer: TracedConsumer
        self._producer = producer
        self._times = 0

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Do nothing."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        if not assigned:
            return
        self._times += 1
        if self._times == 1:
            return
        client: Any = self.consumer.wrapped
        for tp in assigned:
            value = b"%d-%d" % (self._times, tp.partition)
            metadata = await self._producer.send_and_wait(tp.topic, value, partition=tp.partition)
            self.sent.add(value)

            async def fetched(tp: TopicPartition = tp, offset: int = metadata.offset) -> bool:
                return bool(await client.position(tp) > offset)

            await eventually(fetched, timeout_s=20)
        self.came_again.set()


@pytest.mark.parametrize(
    "clients",
    [pytest.param("kafka", marks=[pytest.mark.integration, pytest.mark.kafka])],
    indirect=True,
)
@pytest.mark.parametrize("exactly_once", [False, True])
async def test_records_fetched_during_a_slow_assignment_are_handled(
    clients: _Real, exactly_once: bool
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    bare = clients.bare_consumer(
        group_id=f"g-{clients.suffix}", enable_auto_commit=False, auto_offset_reset="earliest"
    )
    consumer = TracedConsumer(bare, clients.telemetry)
    listener = Slow(producer)
    listener.consumer = consumer
    # Before the start: aiokafka does not know the partitions of what is subscribed to later.
    consumer.subscribe([topic], listener=listener)
    await clients.stack.enter_async_context(consumer)
    handled: set[bytes] = set()
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        handled.add(record.value)

    options: dict[str, Any] = {}
    if exactly_once:
        options["transactional"] = await clients.producer(transactional_id=f"t-{topic}")
    loop = asyncio.create_task(
        tracing.consume(consumer, handler, stop=stop, commit_interval_s=0.1, **options)
    )
    try:
        assert await eventually(lambda: len(consumer.assignment()) == 4, timeout_s=30)
        # A second member, so that partitions go and come again.
        await clients.consumer(topic, group="g")
        assert await eventually(listener.came_again.is_set, timeout_s=60)
        assert await eventually(lambda: listener.sent <= handled, timeout_s=30)
    finally:
        stop.set()
        await loop
