"""A producer without a network, with the methods of `aiokafka.AIOKafkaProducer`."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Self

from tracing.testing.batch import InMemoryBatch
from tracing.testing.fallbacks import errors
from tracing.testing.record_conversion import converted, record_content
from tracing.testing.refusals import checked_offsets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from aiokafka.structs import OffsetAndMetadata, RecordMetadata, TopicPartition

    from tracing.testing.broker import InMemoryBroker
    from tracing.testing.partition_log import RecordContent


class InMemoryProducer:
    """Sends to an `InMemoryBroker`; a stand-in for `aiokafka.AIOKafkaProducer` 0.14.

    Args:
        broker: Stores the records.
        client_id: Kafka's `client.id`.
        key_serializer: Turns keys into bytes.
        value_serializer: Turns values into bytes.
        transactional_id: Enables transactions, and forbids sending outside of one.
    """

    def __init__(
        self,
        broker: InMemoryBroker,
        *,
        client_id: str | None = None,
        key_serializer: Callable[[Any], Any] | None = None,
        value_serializer: Callable[[Any], Any] | None = None,
        transactional_id: str | None = None,
    ) -> None:
        self.client_id = client_id
        self._broker = broker
        self._key_serializer = key_serializer
        self._value_serializer = value_serializer
        self._transactional_id = transactional_id
        self._transaction: _OpenTransaction | None = None
        self._unacknowledged: set[asyncio.Future[RecordMetadata]] = set()
        self._turn = count()
        self._closed = False

    async def start(self) -> None:
        """Do nothing: there is no broker to connect to."""

    async def stop(self) -> None:
        """Refuse new records, wait for acknowledgements, abort an open transaction."""
        if self._closed:
            return
        self._closed = True
        await self.flush()
        if self._transaction is not None:
            await self._end_transaction(committed=False)

    async def flush(self) -> None:
        """Wait until every sent record is acknowledged or has failed."""
        if self._unacknowledged:
            await asyncio.wait(tuple(self._unacknowledged))

    async def partitions_for(self, topic: str) -> set[int]:
        """Return the numbers of a topic's partitions."""
        return {partition.partition for partition in self._partitions(topic)}

    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[tuple[str, bytes | None]] | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Store a record; the returned future is acknowledged in a later turn of the loop.

        Raises:
            AssertionError: There is neither key nor value.
            TypeError: Key, value or headers are of the wrong type.
            aiokafka.errors.ProducerClosed: The producer is stopped.
        """
        assert not (value is None and key is None), "Need at least one: key or value"  # noqa: S101 - aiokafka's
        content = record_content(
            converted(key, self._key_serializer),
            converted(value, self._value_serializer),
            headers,
            timestamp_ms,
        )
        return self._store(self._choose(topic, partition, content.key), (content,))

    async def send_and_wait(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[tuple[str, bytes | None]] | None = None,
    ) -> RecordMetadata:
        """Store a record and wait for its acknowledgement."""
        future = await self.send(topic, value, key, partition, timestamp_ms, headers)
        return await future

    def create_batch(self) -> InMemoryBatch:
        """Return an empty batch."""
        return InMemoryBatch(
            key_serializer=self._key_serializer, value_serializer=self._value_serializer
        )

    async def send_batch(
        self, batch: InMemoryBatch, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        """Store a batch; the returned future is its first record's acknowledgement."""
        batch.close()
        return self._store(self._choose(topic, partition, None), batch.contents())

    def transaction(self) -> _Transaction:
        """Return a transaction as a context manager: committed at its end, aborted on an error."""
        return _Transaction(self)

    async def begin_transaction(self) -> None:
        """Begin a transaction.

        Raises:
            aiokafka.errors.IllegalOperation: There is no transactional id, or one is open.
        """
        if self._transactional_id is None or self._transaction is not None:
            raise errors().IllegalOperation("no transactional_id, or a transaction is open")
        self._transaction = _OpenTransaction()

    async def commit_transaction(self) -> None:
        """Make the transaction's records readable, and commit its offsets.

        Raises:
            aiokafka.errors.IllegalOperation: No transaction is open.
            Exception: The error passed to `fail_next_commit`; the transaction stays open.
        """
        await self._end_transaction(committed=True)

    async def abort_transaction(self) -> None:
        """Drop the transaction's records and offsets.

        Raises:
            aiokafka.errors.IllegalOperation: No transaction is open.
        """
        await self._end_transaction(committed=False)

    async def send_offsets_to_transaction(self, offsets: Any, group_id: str) -> None:
        """Commit a group's offsets together with the transaction.

        Raises:
            aiokafka.errors.IllegalOperation: No transaction is open.
            ValueError: The group has no name, or an offset is invalid.
        """
        if self._transaction is None:
            raise errors().IllegalOperation("Not in the middle of a transaction")
        if not group_id:
            raise ValueError(f"group_id is {group_id!r}, pass the name of the consumer's group")
        self._transaction.offsets.append((group_id, checked_offsets(offsets)))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()

    def _partitions(self, topic: str) -> tuple[TopicPartition, ...]:
        self._broker.create_topic(topic)
        return self._broker.partitions()[topic]

    def _choose(self, topic: str, partition: int | None, key: bytes | None) -> TopicPartition:
        partitions = self._partitions(topic)
        if partition is not None:
            assert 0 <= partition < len(partitions), "Unrecognized partition"  # noqa: S101 - aiokafka's
            return partitions[partition]
        place = next(self._turn) if key is None else zlib.crc32(key)
        return partitions[place % len(partitions)]

    def _store(
        self, partition: TopicPartition, contents: tuple[RecordContent, ...]
    ) -> asyncio.Future[RecordMetadata]:
        if self._closed:
            raise errors().ProducerClosed
        if self._transactional_id is not None and self._transaction is None:
            raise errors().IllegalOperation("Can't send messages while not in transaction")
        before = self._broker.log(partition).end
        future = self._broker.append(
            partition, contents, in_transaction=self._transaction is not None
        )
        self._unacknowledged.add(future)
        future.add_done_callback(self._unacknowledged.discard)
        if self._transaction is not None:
            offsets = self._transaction.records.setdefault(partition, [])
            offsets += range(before, self._broker.log(partition).end)
        return future

    async def _end_transaction(self, *, committed: bool) -> None:
        # Cleared before the first wait: nothing can be sent into a transaction that is ending.
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            raise errors().IllegalOperation("no transaction is open")
        try:
            await self.flush()
            for group_id, offsets in transaction.offsets if committed else ():
                self._broker.commit(group_id, offsets)
        except BaseException:
            self._transaction = transaction
            raise
        self._broker.settle(transaction.records, committed=committed)


@dataclass(slots=True)
class _OpenTransaction:
    records: dict[TopicPartition, list[int]] = field(default_factory=dict)
    offsets: list[tuple[str, dict[TopicPartition, OffsetAndMetadata]]] = field(default_factory=list)


class _Transaction:
    def __init__(self, producer: InMemoryProducer) -> None:
        self._producer = producer

    async def __aenter__(self) -> Self:
        await self._producer.begin_transaction()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if exc_type is None:
            await self._producer.commit_transaction()
        else:
            await self._producer.abort_transaction()
