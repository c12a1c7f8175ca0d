"""A consumer without a network, with the methods of `aiokafka.AIOKafkaConsumer`."""

from __future__ import annotations

import asyncio
import inspect
import re
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self

from tracing.testing.kafka_types import errors, interfaces, structs
from tracing.testing.positions import Positions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from contextvars import Context
    from types import TracebackType

    from aiokafka.abc import ConsumerRebalanceListener
    from aiokafka.structs import ConsumerRecord, OffsetAndTimestamp, TopicPartition

    from tracing.testing.broker import InMemoryBroker


class InMemoryConsumer:
    """Reads from an `InMemoryBroker`; a stand-in for `aiokafka.AIOKafkaConsumer` 0.14.

    Args:
        topics: What to subscribe to.
        broker: Where records come from.
        group_id: The consumer group; without one, it reads all partitions and commits nothing.
        client_id: Kafka's `client.id`.
        auto_offset_reset: Where to begin without a committed offset: `earliest` or `latest`.
        enable_auto_commit: Whether what was handed out is committed on stop and rebalance.
        key_deserializer: Turns key bytes into keys.
        value_deserializer: Turns value bytes into values.
        max_poll_records: How many records `getmany` returns at most, by default.
    """

    def __init__(
        self,
        *topics: str,
        broker: InMemoryBroker,
        group_id: str | None = None,
        client_id: str | None = None,
        auto_offset_reset: str = "latest",
        enable_auto_commit: bool = True,
        key_deserializer: Callable[[Any], Any] | None = None,
        value_deserializer: Callable[[Any], Any] | None = None,
        max_poll_records: int | None = None,
    ) -> None:
        self.group_id = group_id
        self.client_id = client_id
        self.enable_auto_commit = enable_auto_commit
        self._broker = broker
        self._group = broker.group(group_id)
        self._positions = Positions(
            broker,
            from_start=auto_offset_reset == "earliest",
            key_deserializer=key_deserializer,
            value_deserializer=value_deserializer,
        )
        self._max_poll_records = max_poll_records
        self._topics = frozenset(topics)
        self._pattern: re.Pattern[str] | None = None
        self.listener: ConsumerRebalanceListener | None = None
        """Hears of rebalances; set by `subscribe`."""
        self._fetching = True
        self._started = False
        self._closed = False
        self._context: Context = copy_context()

    @property
    def context(self) -> Context:
        """The context in which the listener's callbacks run."""
        return self._context

    def wants(self, topics: Collection[str]) -> frozenset[str]:
        """Choose from the broker's topics."""
        if self._pattern is not None:
            return frozenset(topic for topic in topics if self._pattern.match(topic))
        return self._topics.intersection(topics)

    async def give_up(self) -> None:
        """Stop fetching and let go of all partitions."""
        revoked = self.assignment()
        self._fetching = False
        if self.listener is not None:
            await _called(self.listener.on_partitions_revoked(revoked))
        self._auto_commit()
        self._positions.assign(())

    async def take(self, partitions: Collection[TopicPartition]) -> None:
        """Accept partitions and fetch again."""
        self._positions.assign(partitions, {} if self.group_id is None else self._group.committed)
        if self.listener is not None:
            await _called(self.listener.on_partitions_assigned(set(partitions)))
        self._fetching = True

    async def start(self) -> None:
        """Join the group."""
        self._started = True
        for topic in self._topics:
            self._broker.create_topic(topic)
        if self._topics or self._pattern:
            self._group.add(self)
            await self._group.rebalance()

    async def stop(self) -> None:
        """Leave the group; whoever waits for a record is told."""
        if self._closed:
            return
        self._closed = True
        self._auto_commit()
        if self in self._group:
            self._group.remove(self)
            if self.group_id is not None:
                await self._group.rebalance()
        self._broker.wakeups.wake_all()

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these partitions, outside of any group management."""
        self._positions.assign(tuple(partitions), self._group.committed)

    def assignment(self) -> set[TopicPartition]:
        """Tell the partitions that are read."""
        return self._positions.assignment()

    def subscribe(
        self,
        topics: Iterable[str] = (),
        pattern: str | None = None,
        listener: ConsumerRebalanceListener | None = None,
    ) -> None:
        """Read topics, or those whose names match a pattern, as a member of the group.

        Raises:
            TypeError: There are neither topics nor a pattern, or both, or no listener is one.
        """
        if bool(topics) == bool(pattern):
            raise TypeError("You should provide either `topics` or `pattern`")
        if listener is not None and not isinstance(
            listener, interfaces().ConsumerRebalanceListener
        ):
            raise TypeError("listener should be an instance of ConsumerRebalanceListener")
        self._topics = frozenset(topics)
        self._pattern = None if pattern is None else re.compile(pattern)
        self.listener = listener
        for topic in self._topics:
            self._broker.create_topic(topic)
        if self._started:
            self._group.add(self)
            self._group.start_rebalance()

    def subscription(self) -> frozenset[str]:
        """Tell the topics subscribed to."""
        return self.wants(self._broker.partitions()) if self._pattern else self._topics

    def unsubscribe(self) -> None:
        """Leave all topics."""
        self._topics, self._pattern, self.listener = frozenset(), None, None
        self._group.remove(self)
        self._positions.assign(())

    async def getone(self, *partitions: TopicPartition) -> ConsumerRecord[Any, Any]:
        """Wait for the next record.

        Raises:
            aiokafka.errors.ConsumerStoppedError: The consumer is stopped.
        """
        while True:
            self._check_open()
            if self._fetching:
                taken = self._positions.take(partitions, 1)
                for records in taken.values():
                    return records[0]
            await self._broker.wakeups.wait()

    async def getmany(
        self,
        *partitions: TopicPartition,
        timeout_ms: int = 0,
        max_records: int | None = None,
    ) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        """Take what is there; wait for it up to `timeout_ms` milliseconds."""
        deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
        while True:
            self._check_open()
            if self._fetching:
                taken = self._positions.take(partitions, max_records or self._max_poll_records)
                if taken:
                    return taken
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0 or not await self._broker.wakeups.wait(remaining):
                self._check_open()
                return {}

    async def commit(self, offsets: Mapping[TopicPartition, Any] | None = None) -> None:
        """Commit offsets, by default those of all that was handed out.

        Raises:
            aiokafka.errors.IllegalOperation: There is no group.
            aiokafka.errors.IllegalStateError: A partition is not assigned.
        """
        if self.group_id is None:
            raise errors().IllegalOperation("Requires group_id")
        wanted = self._positions.handed_out() if offsets is None else offsets
        for partition in wanted:
            self._positions.check(partition)
        metadata: Any = structs().OffsetAndMetadata
        self._broker.commit(
            self.group_id,
            {
                tp: metadata(*offset) if isinstance(offset, tuple) else metadata(offset, "")
                for tp, offset in wanted.items()
            },
        )

    async def committed(self, partition: TopicPartition) -> int | None:
        """Tell the offset that the group committed."""
        found = self._group.committed.get(partition)
        return None if found is None else found.offset

    async def topics(self) -> set[str]:
        """Tell all topics."""
        return set(self._broker.partitions())

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Tell a topic's partitions."""
        found = self._broker.partitions().get(topic)
        return None if found is None else {partition.partition for partition in found}

    async def position(self, partition: TopicPartition) -> int:
        """Tell the offset of the next record."""
        return self._positions.position(partition)

    def highwater(self, partition: TopicPartition) -> int:
        """Tell the offset that the next record will get."""
        self._positions.check(partition)
        return self._broker.log(partition).end

    def last_stable_offset(self, partition: TopicPartition) -> int:
        """Tell the offset at which open transactions begin."""
        self._positions.check(partition)
        return self._broker.log(partition).stable_end

    def last_poll_timestamp(self, partition: TopicPartition) -> int:
        """Tell when records were taken last, unix ms; 0 for never."""
        return self._positions.last_taken_ms(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at an offset."""
        if offset < 0:
            raise ValueError("Offset must be a positive integer")
        self._positions.seek(partition, offset)
        self._broker.wakeups.wake_all()

    async def seek_to_beginning(self, *partitions: TopicPartition) -> bool:
        """Go on at the first record."""
        for partition in partitions or self.assignment():
            self.seek(partition, 0)
        return True

    async def seek_to_end(self, *partitions: TopicPartition) -> bool:
        """Go on at the next new record."""
        for partition in partitions or self.assignment():
            self.seek(partition, self._broker.log(partition).end)
        return True

    async def seek_to_committed(
        self, *partitions: TopicPartition
    ) -> dict[TopicPartition, int | None]:
        """Go on where the group committed."""
        offsets = {}
        for partition in partitions or self.assignment():
            offset = offsets[partition] = await self.committed(partition)
            if offset is not None:
                self.seek(partition, offset)
        return offsets

    async def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Find the first records that are not older than times in unix ms."""
        kind = structs().OffsetAndTimestamp
        found: dict[TopicPartition, OffsetAndTimestamp | None] = {}
        for partition, timestamp in timestamps.items():
            record = self._broker.log(partition).first_at(timestamp)
            found[partition] = (
                None if record is None else kind(record.offset, record.content.timestamp)
            )
        return found

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Tell the first offsets."""
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Tell the offsets that the next records will get."""
        return {partition: self._broker.log(partition).end for partition in partitions}

    def pause(self, *partitions: TopicPartition) -> None:
        """Return nothing from these partitions until they are resumed."""
        self._positions.pause(partitions)

    def paused(self) -> set[TopicPartition]:
        """Tell the paused partitions."""
        return self._positions.paused()

    def resume(self, *partitions: TopicPartition) -> None:
        """Return records from these partitions again."""
        self._positions.resume(partitions)
        self._broker.wakeups.wake_all()

    def __aiter__(self) -> Self:
        self._check_open()
        return self

    async def __anext__(self) -> ConsumerRecord[Any, Any]:
        try:
            return await self.getone()
        except errors().ConsumerStoppedError:
            raise StopAsyncIteration from None

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

    def _auto_commit(self) -> None:
        if self.enable_auto_commit and self.group_id is not None:
            metadata: Any = structs().OffsetAndMetadata
            self._group.committed.update(
                {tp: metadata(at, "") for tp, at in self._positions.handed_out().items()}
            )

    def _check_open(self) -> None:
        if self._closed:
            raise errors().ConsumerStoppedError


async def _called(result: Any) -> None:
    if inspect.isawaitable(result):
        await result
