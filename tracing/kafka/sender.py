"""The private side of a traced producer, which sends records as raw bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tracing.kafka.coexistence import beneath, call_beneath
from tracing.kafka.owned_producer import owned
from tracing.kafka.transport import is_topic_name

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractContextManager

    from tracing.headers.codec import Header
    from tracing.kafka.protocols import KafkaProducer
    from tracing.messaging.transport import ClientInfo
    from tracing.telemetry import Telemetry


class Traced(Protocol):
    """What the sender needs of the producer: a `TracedProducer`."""

    @property
    def wrapped(self) -> KafkaProducer:
        """The producer inside."""

    @property
    def telemetry(self) -> Telemetry:
        """What the service's clients share."""


class KafkaSender:
    """The private side of a `TracedProducer`.

    Args:
        producer: The producer.
        info: How it is configured.

    Attributes:
        producer: The producer.
        info: How it is configured.
    """

    __slots__ = ("info", "producer")

    def __init__(self, producer: Traced, info: ClientInfo) -> None:
        self.producer = producer
        self.info = info

    @property
    def telemetry(self) -> Telemetry:
        """What the service's clients share."""
        return self.producer.telemetry

    async def send_raw(
        self, topic: str, value: bytes | None, key: bytes | None, headers: list[Header]
    ) -> Any:
        """Send bytes without a span; return the broker's acknowledgement.

        Raises:
            Exception: What the producer raises.
        """
        return await (await send_raw(self.producer.wrapped, topic, value, key, headers))

    def is_destination(self, name: str) -> bool:
        """Return whether a topic can have this name."""
        return is_topic_name(name)

    def owned(self) -> AbstractContextManager[KafkaProducer]:
        """Own the producer's transactions in a block.

        Raises:
            RuntimeError: Another loop owns it.
        """
        return owned(self.producer)


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
