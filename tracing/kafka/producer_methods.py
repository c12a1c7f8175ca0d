# mypy: disable-error-code="empty-body"
"""The methods of `aiokafka.AIOKafkaProducer`, typed, each passed on to the producer inside.

They are declarations: `forwarded` supplies the body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from tracing.kafka.forwarding import entered, forwarded, left
from tracing.kafka.proxy import ClientProxy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    # For type checkers a wrapper is a producer, as it is for isinstance.
    from aiokafka import AIOKafkaProducer as _Client
    from aiokafka.client import AIOKafkaClient
    from aiokafka.producer.message_accumulator import BatchBuilder
    from aiokafka.producer.producer import TransactionContext
    from aiokafka.structs import RecordMetadata, TopicPartition

    from tracing.headers.codec import Header
else:
    _Client = object


class ProducerMethods(ClientProxy, _Client):
    """Every public method of aiokafka's producer."""

    @property
    def client(self) -> AIOKafkaClient:
        """The client beneath, as `AIOKafkaProducer.client`."""
        inner: AIOKafkaClient = self._inside().client
        return inner

    @client.setter
    def client(self, client: AIOKafkaClient) -> None:
        self._inside().client = client

    @forwarded
    async def start(self) -> None:
        """Connect, as `AIOKafkaProducer.start`."""

    @forwarded
    async def stop(self) -> None:
        """Flush and close, as `AIOKafkaProducer.stop`."""

    @forwarded
    async def flush(self) -> None:
        """Wait until everything is delivered, as `AIOKafkaProducer.flush`."""

    @forwarded
    async def partitions_for(self, topic: str) -> set[int]:
        """Return a topic's partitions, as `AIOKafkaProducer.partitions_for`."""

    @forwarded
    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[Header] | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Send a record, as `AIOKafkaProducer.send`."""

    @forwarded
    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[Header] | None = None,
    ) -> RecordMetadata:
        """Send a record and wait for its acknowledgement, as `AIOKafkaProducer.send_and_wait`."""

    @forwarded
    def create_batch(self) -> BatchBuilder:
        """Make an empty batch, as `AIOKafkaProducer.create_batch`."""

    @forwarded
    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        """Send a batch, as `AIOKafkaProducer.send_batch`."""

    @forwarded
    def transaction(self) -> TransactionContext:
        """Open a transaction, as `AIOKafkaProducer.transaction`."""

    @forwarded
    async def begin_transaction(self) -> None:
        """Begin a transaction, as `AIOKafkaProducer.begin_transaction`."""

    @forwarded
    async def commit_transaction(self) -> None:
        """Commit the transaction, as `AIOKafkaProducer.commit_transaction`."""

    @forwarded
    async def abort_transaction(self) -> None:
        """Abort the transaction, as `AIOKafkaProducer.abort_transaction`."""

    @forwarded
    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, Any], group_id: str
    ) -> None:
        """Commit offsets with the transaction, as `AIOKafkaProducer` does."""

    async def __aenter__(self) -> Self:
        opened: Self = await entered(self, self._inside())
        return opened

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> bool | None:
        suppressed: bool | None = await left(self, self._inside(), exc_type, exc, tb)
        return suppressed
