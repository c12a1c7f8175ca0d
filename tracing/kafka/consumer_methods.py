# mypy: disable-error-code="empty-body"
"""The methods of `aiokafka.AIOKafkaConsumer`, typed, each passed on to the consumer inside.

They are declarations: `forwarded` supplies the body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from tracing.kafka.forwarding import entered, forwarded, left
from tracing.kafka.proxy import ClientProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType

    # For type checkers a wrapper is a consumer, as it is for isinstance.
    from aiokafka import AIOKafkaConsumer as _Client
    from aiokafka.abc import ConsumerRebalanceListener
    from aiokafka.structs import ConsumerRecord, OffsetAndTimestamp, TopicPartition
else:
    _Client = object


class ConsumerMethods(ClientProxy, _Client):
    """Every public method of aiokafka's consumer."""

    @forwarded
    async def start(self) -> None:
        """Connect and join the group, as `AIOKafkaConsumer.start`."""

    @forwarded
    async def stop(self) -> None:
        """Leave the group and close, as `AIOKafkaConsumer.stop`."""

    @forwarded
    def subscribe(
        self,
        topics: Iterable[str] = (),
        pattern: str | None = None,
        listener: ConsumerRebalanceListener | None = None,
    ) -> None:
        """Subscribe, as `AIOKafkaConsumer.subscribe`."""

    @forwarded
    def subscription(self) -> frozenset[str]:
        """Return the subscribed topics, as `AIOKafkaConsumer.subscription`."""

    @forwarded
    def unsubscribe(self) -> None:
        """Give up topics and partitions, as `AIOKafkaConsumer.unsubscribe`."""

    @forwarded
    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Take partitions by hand, as `AIOKafkaConsumer.assign`."""

    @forwarded
    def assignment(self) -> set[TopicPartition]:
        """Return the assigned partitions, as `AIOKafkaConsumer.assignment`."""

    @forwarded
    async def getone(self, *partitions: TopicPartition) -> ConsumerRecord[Any, Any]:
        """Get one record, as `AIOKafkaConsumer.getone`."""

    @forwarded
    async def getmany(
        self,
        *partitions: TopicPartition,
        timeout_ms: int = 0,
        max_records: int | None = None,
    ) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        """Get records, as `AIOKafkaConsumer.getmany`."""

    @forwarded
    def __aiter__(self) -> AsyncIterator[ConsumerRecord[Any, Any]]:
        """Iterate over the records."""

    @forwarded
    async def __anext__(self) -> ConsumerRecord[Any, Any]:
        """Get the next record."""

    @forwarded
    async def commit(self, offsets: Mapping[TopicPartition, Any] | None = None) -> None:
        """Commit offsets, as `AIOKafkaConsumer.commit`."""

    @forwarded
    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the last committed offset, as `AIOKafkaConsumer.committed`."""

    @forwarded
    async def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record, as `AIOKafkaConsumer.position`."""

    @forwarded
    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the end offset seen last, as `AIOKafkaConsumer.highwater`."""

    @forwarded
    def last_stable_offset(self, partition: TopicPartition) -> int | None:
        """Return the last stable offset seen, as `AIOKafkaConsumer.last_stable_offset`."""

    @forwarded
    def last_poll_timestamp(self, partition: TopicPartition) -> int | None:
        """Return when the partition was polled last, in unix ms, as aiokafka's."""

    @forwarded
    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the offset to read from, as `AIOKafkaConsumer.seek`."""

    @forwarded
    async def seek_to_beginning(self, *partitions: TopicPartition) -> bool:
        """Read from the oldest record, as `AIOKafkaConsumer.seek_to_beginning`."""

    @forwarded
    async def seek_to_end(self, *partitions: TopicPartition) -> bool:
        """Read from the newest record, as `AIOKafkaConsumer.seek_to_end`."""

    @forwarded
    async def seek_to_committed(
        self, *partitions: TopicPartition
    ) -> dict[TopicPartition, int | None]:
        """Read from the committed offsets, as `AIOKafkaConsumer.seek_to_committed`."""

    @forwarded
    async def offsets_for_times(
        self, timestamps: dict[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Find offsets by unix ms, as `AIOKafkaConsumer.offsets_for_times`."""

    @forwarded
    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first offsets, as `AIOKafkaConsumer.beginning_offsets`."""

    @forwarded
    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the end offsets, as `AIOKafkaConsumer.end_offsets`."""

    @forwarded
    async def topics(self) -> set[str]:
        """Return all topics that may be seen, as `AIOKafkaConsumer.topics`."""

    @forwarded
    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the known partitions of a topic, as `AIOKafkaConsumer.partitions_for_topic`."""

    @forwarded
    def pause(self, *partitions: TopicPartition) -> None:
        """Suspend fetching, as `AIOKafkaConsumer.pause`."""

    @forwarded
    def paused(self) -> set[TopicPartition]:
        """Return the paused partitions, as `AIOKafkaConsumer.paused`."""

    @forwarded
    def resume(self, *partitions: TopicPartition) -> None:
        """Resume fetching, as `AIOKafkaConsumer.resume`."""

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
