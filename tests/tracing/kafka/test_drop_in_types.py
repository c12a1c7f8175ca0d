"""Type checkers accept a wrapper as the client, and know the types of its methods.

The type check of the gate reads this file; running it only proves that the calls exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, assert_type

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import ConsumerRecord, RecordMetadata, TopicPartition

import tracing
from tracing import TracedConsumer, TracedProducer


async def publish(producer: AIOKafkaProducer) -> None:
    """A function of an application that knows nothing of tracing."""


async def read(consumer: AIOKafkaConsumer) -> None:
    """As `publish`."""


async def fill(batch: BatchBuilder) -> None:
    """As `publish`."""


async def application(producer: TracedProducer, consumer: TracedConsumer) -> None:
    """Nothing in here needs a cast."""
    await publish(producer)
    await read(consumer)
    await fill(producer.create_batch())
    tp = TopicPartition("orders", 0)
    assert_type(await producer.send_and_wait("orders", b"v", key=b"k"), RecordMetadata)
    assert_type(await producer.partitions_for("orders"), set[int])
    assert_type(await consumer.position(tp), int)
    assert_type(await consumer.committed(tp), int | None)
    assert_type(await consumer.getone(), ConsumerRecord[Any, Any])
    assert_type(await consumer.getmany(), dict[TopicPartition, list[ConsumerRecord[Any, Any]]])
    assert_type(await consumer.end_offsets([tp]), dict[TopicPartition, int])
    assert_type(consumer.assignment(), set[TopicPartition])
    async for record in consumer:
        assert_type(record, ConsumerRecord[Any, Any])
    async with producer as opened:
        assert_type(opened, TracedProducer)


async def handle(_record: ConsumerRecord[str, bytes]) -> None:
    """A handler of an application."""


async def handle_text(_text: str) -> None:
    """As `handle`, but for texts."""


async def loops(consumer: TracedConsumer) -> None:
    """The type check refuses a handler of something other than the consumer's records."""
    await tracing.consume(consumer, handle)
    await tracing.consume(consumer, handle_text)  # type: ignore[arg-type]  # as said


def test_functions_that_take_aiokafkas_clients_take_the_wrappers() -> None:
    takes_producer: Callable[[TracedProducer], Awaitable[None]] = publish
    takes_consumer: Callable[[TracedConsumer], Awaitable[None]] = read

    assert publish is takes_producer
    assert read is takes_consumer
