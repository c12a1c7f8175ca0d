"""A backoff that is longer than `max.poll.interval.ms`: the consumer stays in its group."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import ConsumerRebalanceListener

import tracing
from demo_pipeline.broker import create_topics
from tracing import Retry, TracedConsumer

if TYPE_CHECKING:
    from tracing import Telemetry

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


class Rebalances(ConsumerRebalanceListener):
    """Counts how often partitions were assigned."""

    def __init__(self) -> None:
        self.assigned = 0

    async def on_partitions_revoked(self, revoked: Any) -> None:
        pass

    async def on_partitions_assigned(self, assigned: Any) -> None:
        self.assigned += 1


async def test_a_long_backoff_keeps_the_membership(
    kafka_servers: str, telemetry: Telemetry
) -> None:
    topic = f"orders-{uuid4().hex[:8]}"
    await create_topics(kafka_servers, {topic: 1})
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
        await producer.send_and_wait(topic, b"v")
    rebalances, stop = Rebalances(), asyncio.Event()
    bare = AIOKafkaConsumer(
        bootstrap_servers=kafka_servers,
        group_id=topic,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_interval_ms=1000,
        session_timeout_ms=1000,
        heartbeat_interval_ms=200,
    )
    calls: list[Any] = []

    async def handler(record: Any) -> None:
        calls.append(record)
        if len(calls) == 1:
            raise ConnectionError
        stop.set()

    async with TracedConsumer(bare, telemetry) as consumer:
        consumer.subscribe([topic], listener=rebalances)
        await asyncio.wait_for(
            tracing.consume(
                consumer,
                handler,
                retry=Retry(delay_s=4, max_delay_s=4, jitter=lambda longest: longest),
                stop=stop,
            ),
            30,
        )

    assert 2 == len(calls)
    assert calls[0] is calls[1]
    assert 1 == rebalances.assigned
