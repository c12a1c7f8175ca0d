"""What the wrappers need of a client: aiokafka's public methods, as structural types.

`aiokafka.AIOKafkaProducer` and `AIOKafkaConsumer` of 0.14 fit, and so do test doubles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable

    from aiokafka.structs import ConsumerRecord, RecordMetadata, TopicPartition


class KafkaBatch(Protocol):
    """A batch under construction, as `aiokafka.producer.message_accumulator.BatchBuilder`."""

    def append(self, *, timestamp: Any, key: Any, value: Any, headers: Any = ...) -> Any:
        """Add a message; `None` where the batch is full."""

    def close(self) -> None:
        """Close to further messages."""

    def size(self) -> int:
        """Size in bytes."""

    def record_count(self) -> int:
        """Number of messages."""

    def closed(self) -> bool:
        """Whether it is closed."""


class KafkaProducer(Protocol):
    """A producer, as `aiokafka.AIOKafkaProducer`."""

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Flush and close."""

    async def flush(self) -> None:
        """Wait until everything is delivered."""

    async def partitions_for(self, topic: Any) -> set[int]:
        """Tell a topic's partitions."""

    async def send(
        self,
        topic: Any,
        value: Any = None,
        key: Any = None,
        partition: Any = None,
        timestamp_ms: Any = None,
        headers: Any = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Send a record; the future is its acknowledgement."""

    async def send_and_wait(
        self,
        topic: Any,
        value: Any = None,
        key: Any = None,
        partition: Any = None,
        timestamp_ms: Any = None,
        headers: Any = None,
    ) -> RecordMetadata:
        """Send a record and wait for its acknowledgement."""

    def create_batch(self) -> Any:
        """Make an empty batch."""

    async def send_batch(
        self, batch: Any, topic: Any, *, partition: Any
    ) -> asyncio.Future[RecordMetadata]:
        """Send a batch."""

    def transaction(self) -> Any:
        """Open a transaction."""

    async def begin_transaction(self) -> None:
        """Begin a transaction."""

    async def commit_transaction(self) -> None:
        """Commit the transaction."""

    async def abort_transaction(self) -> None:
        """Abort the transaction."""

    async def send_offsets_to_transaction(self, offsets: Any, group_id: Any) -> None:
        """Commit offsets with the transaction."""


class KafkaConsumer(Protocol):
    """A consumer, as `aiokafka.AIOKafkaConsumer`: what is intercepted; the rest passes through."""

    async def start(self) -> None:
        """Connect and join the group."""

    async def stop(self) -> None:
        """Leave the group and close."""

    async def getone(self, *partitions: Any) -> ConsumerRecord[Any, Any]:
        """Get one record."""

    async def getmany(
        self, *partitions: Any, timeout_ms: Any = 0, max_records: Any = None
    ) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        """Get records."""

    def __aiter__(self) -> Any:
        """Iterate over records."""

    def __anext__(self) -> Awaitable[ConsumerRecord[Any, Any]]:
        """Get the next record."""

    async def commit(self, offsets: Any = None) -> None:
        """Commit offsets."""

    def subscribe(self, topics: Any = (), pattern: Any = None, listener: Any = None) -> None:
        """Subscribe."""

    def subscription(self) -> Any:
        """The subscribed topics."""

    def assignment(self) -> Any:
        """The assigned partitions."""
