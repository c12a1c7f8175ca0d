"""A drop-in for `aiokafka.AIOKafkaProducer` that sends trace context along and times every send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from opentelemetry.context import get_current

from tracing.batch import TracedBatch, begin_batch
from tracing.client import client_info
from tracing.coexistence import beneath, call_beneath, present, without_official
from tracing.context_keys import SUPPRESSED
from tracing.diagnostics import warn_once
from tracing.headers import latest, listed
from tracing.keeping import keep
from tracing.provenance import unmarked
from tracing.sending import Destination, begin_send

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from aiokafka.producer.producer import TransactionContext
    from aiokafka.structs import RecordMetadata

    from tracing.client import ClientInfo
    from tracing.headers import Header
    from tracing.protocols import KafkaBatch, KafkaProducer
    from tracing.sending import Sending
    from tracing.telemetry import Telemetry


class TracedProducer:
    """Wraps an aiokafka producer; every method, property and argument order stays as it is.

    Each record gets the context headers of its own `send {topic}` span, which ends when the broker
    acknowledges the record and carries partition and offset, or the error. Headers are sent as a
    new list; the caller's is never changed. What fails in here is counted and logged, and the
    record is sent all the same, as it was given.

    A send inside a transaction ends with its acknowledgement as well, and counts as sent: the
    broker has the record, and keeps it whether the transaction commits or aborts. Consumers with
    `isolation_level="read_committed"` never see those of an aborted one (KIP-98).

    Args:
        producer: The producer to wrap, started or not.
        telemetry: What the service's clients share.
        client_id: Overrides the client id that the producer tells.

    Raises:
        TypeError: `producer` cannot send.

    Task safety: as aiokafka's, any number of tasks of one event loop.
    """

    def __init__(
        self,
        producer: KafkaProducer | TracedProducer,
        telemetry: Telemetry,
        *,
        client_id: str | None = None,
    ) -> None:
        if isinstance(producer, TracedProducer):
            warn_once("a TracedProducer was wrapped again; the inner wrapper is left out")
            producer = producer.wrapped
        if not callable(getattr(producer, "send", None)):
            raise TypeError(f"TracedProducer wraps an aiokafka producer, not {producer!r}")
        self._producer: KafkaProducer = producer
        self._telemetry = telemetry
        self._info = client_info(producer, group=None, client_id=client_id)
        self._destinations: dict[str, Destination] = {}

    @property
    def wrapped(self) -> KafkaProducer:
        """The producer inside."""
        return self._producer

    @property
    def telemetry(self) -> Telemetry:
        """What the service's clients share."""
        return self._telemetry

    @property
    def info(self) -> ClientInfo:
        """What the producer tells of its configuration."""
        return self._info

    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Iterable[Header] | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Send a record, as `AIOKafkaProducer.send`; the future ends the span.

        Cancelling the future leaves open whether the record arrives: the span then ends without
        status, partition and offset, and the record is not counted as sent.
        """
        send: Callable[..., Awaitable[asyncio.Future[RecordMetadata]]] = self._producer.send
        if present():
            send = beneath(send, self._producer)
        given = [] if headers is None else list(headers)
        sending = self._begin(topic, value, key, partition, given)
        if sending is None:
            outgoing = unmarked(given, latest(given))
            return await send(topic, value, key, partition, timestamp_ms, outgoing)
        try:
            future = await send(topic, value, key, partition, timestamp_ms, sending.headers)
        except BaseException as error:
            sending.failed(error)
            raise
        future.add_done_callback(sending.done)
        return future

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
        given = listed(headers)
        sending = self._begin(topic, value, key, partition, given)
        outgoing = unmarked(given, latest(given)) if sending is None else sending.headers
        try:
            producer = self._producer
            send = producer.send
            if without_official(send) is send:
                send_and_wait = beneath(producer.send_and_wait, producer)
                metadata = await send_and_wait(topic, value, key, partition, timestamp_ms, outgoing)
            else:
                # aiokafka's own would call the send that the official instrumentation put in.
                future = await beneath(send, producer)(
                    topic, value, key, partition, timestamp_ms, outgoing
                )
                metadata = await future
        except BaseException as error:
            if sending is not None:
                sending.failed(error)
            raise
        if sending is not None:
            sending.acknowledged(metadata)
        return metadata

    def create_batch(self) -> TracedBatch:
        """Make an empty batch, as `AIOKafkaProducer.create_batch`; its messages get contexts."""
        batch = call_beneath(self._producer.create_batch, self._producer)
        return TracedBatch(batch, self._telemetry)

    async def send_batch(
        self, batch: KafkaBatch | TracedBatch, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        """Send a batch, as `AIOKafkaProducer.send_batch`: one span, linked to its messages."""
        send_batch = beneath(self._producer.send_batch, self._producer)
        inner = batch.wrapped if isinstance(batch, TracedBatch) else batch
        sending = self._begin_batch(batch, topic, partition)
        if sending is None:
            return await send_batch(inner, topic, partition=partition)
        try:
            future = await send_batch(inner, topic, partition=partition)
        except BaseException as error:
            sending.failed(error)
            raise
        future.add_done_callback(sending.done)
        return future

    async def start(self) -> None:
        """Connect, as `AIOKafkaProducer.start`."""
        await self._producer.start()

    async def stop(self) -> None:
        """Flush and close, as `AIOKafkaProducer.stop`."""
        await self._producer.stop()

    async def flush(self) -> None:
        """Wait until everything is delivered, as `AIOKafkaProducer.flush`."""
        await self._producer.flush()

    async def partitions_for(self, topic: str) -> set[int]:
        """Tell a topic's partitions, as `AIOKafkaProducer.partitions_for`."""
        return await self._producer.partitions_for(topic)

    def transaction(self) -> TransactionContext:
        """Open a transaction, as `AIOKafkaProducer.transaction`."""
        transaction: TransactionContext = self._producer.transaction()
        return transaction

    async def begin_transaction(self) -> None:
        """Begin a transaction, as `AIOKafkaProducer.begin_transaction`."""
        await self._producer.begin_transaction()

    async def commit_transaction(self) -> None:
        """Commit the transaction, as `AIOKafkaProducer.commit_transaction`."""
        await self._producer.commit_transaction()

    async def abort_transaction(self) -> None:
        """Abort the transaction, as `AIOKafkaProducer.abort_transaction`."""
        await self._producer.abort_transaction()

    async def send_offsets_to_transaction(self, offsets: Any, group_id: str) -> None:
        """Commit offsets with the transaction, as `AIOKafkaProducer` does."""
        await self._producer.send_offsets_to_transaction(offsets, group_id)

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

    def __getattr__(self, name: str) -> Any:
        if name == "_producer":  # before the constructor ran, as when unpickling
            raise AttributeError(name)
        return getattr(self._producer, name)

    def _begin(
        self, topic: str, value: object, key: object, partition: object, headers: list[Header]
    ) -> Sending | None:
        try:
            if get_current().get(SUPPRESSED):
                return None
            destination = self._destinations.get(topic)
            if destination is None:
                destination = self._destination(topic)
            return begin_send(self._telemetry, destination, headers, (key, value, partition))
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
            return None

    def _begin_batch(
        self, batch: KafkaBatch | TracedBatch, topic: str, partition: int
    ) -> Sending | None:
        try:
            if get_current().get(SUPPRESSED):
                return None
            return begin_batch(self._telemetry, self._destination(topic), batch, partition)
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
            return None

    def _destination(self, topic: str) -> Destination:
        found = self._destinations.get(topic)
        if found is None:
            found = Destination(self._telemetry, self._info, topic)
            keep(self._destinations, topic, found)
        return found
