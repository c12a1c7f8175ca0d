"""Sending a record as the bytes that it is, whatever it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracing.kafka.coexistence import beneath, call_beneath

if TYPE_CHECKING:
    import asyncio

    from tracing.headers.codec import Header
    from tracing.kafka.protocols import KafkaProducer


async def send_raw(
    producer: KafkaProducer,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    headers: list[Header],
    partition: int | None = None,
) -> asyncio.Future[Any]:
    """Send a record without a span of its own; returns the future of its acknowledgement.

    Raises:
        Exception: What the producer raises.
    """
    if key is not None or value is not None:
        send = beneath(producer.send, producer)
        # By name, and only what there is: a subclass may take fewer arguments than aiokafka's.
        chosen = {} if partition is None else {"partition": partition}
        return await send(topic, value, key=key, headers=headers, **chosen)
    # Kafka takes a tombstone without a key, and so does a batch; only send() does not.
    batch = call_beneath(producer.create_batch, producer)
    batch.append(timestamp=None, key=None, value=None, headers=headers)
    if partition is None:
        partition = min(await producer.partitions_for(topic))
    return await beneath(producer.send_batch, producer)(batch, topic, partition=partition)
