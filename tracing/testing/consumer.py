"""A consumer without a network, with the methods of `aiokafka.AIOKafkaConsumer`."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self

from tracing.testing.kafka_types import errors, interfaces, structs
from tracing.testing.positions import Positions
from tracing.testing.refusals import (
    check_all_partitions,
    checked_limit,
    checked_offset,
    checked_offsets,
    checked_pattern,
    checked_topics,
)

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Collection, Iterable, Mapping
    from contextvars import Context
    from types import TracebackType

    from aiokafka.abc import ConsumerRebalanceListener
    from aiokafka.structs import (
        ConsumerRecord,
        OffsetAndMetadata,
        OffsetAndTimestamp,
        TopicPartition,
    )

    from tracing.testing.broker import InMemoryBroker

_log = logging.getLogger(__name__)

_EXCLUSIVE = "Subscription to topics, partitions and pattern are mutually exclusive"


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

    Raises:
        ValueError: `auto_offset_reset` or `max_poll_records` is none of the above.
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
        if auto_offset_reset not in {"earliest", "latest"}:
            raise ValueError(
                f"auto_offset_reset is {auto_offset_reset!r}, must be 'earliest' or 'latest'"
            )
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
        # As aiokafka keeps them; it has no public way to ask.
        self._key_deserializer = key_deserializer
        self._value_deserializer = value_deserializer
        self._max_poll_records = checked_limit(max_poll_records)
        self._topics = frozenset(topics)
        self._pattern: re.Pattern[str] | None = None
        self.listener: ConsumerRebalanceListener | None = None
        """Hears of rebalances; set by `subscribe`."""
        self._assigned_by_hand = False
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
            await _heard(self.listener.on_partitions_revoked, revoked)
        self._auto_commit()
        self._positions.assign(())

    async def take(self, partitions: Collection[TopicPartition]) -> None:
        """Accept partitions and fetch again."""
        self._positions.assign(partitions, {} if self.group_id is None else self._group.committed)
        if self.listener is not None:
            await _heard(self.listener.on_partitions_assigned, set(partitions))
        self._fetching = True

    async def start(self) -> None:
        """Join the group.

        Raises:
            AssertionError: It was started before.
        """
        if self._started:
            raise AssertionError("Did you call `start` twice?")
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
        """Read these partitions, outside of any group management.

        Raises:
            aiokafka.errors.IllegalStateError: It is subscribed to topics.
        """
        if self._topics or self._pattern:
            raise errors().IllegalStateError(_EXCLUSIVE)
        self._assigned_by_hand = True
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
            TypeError: There are neither topics nor a pattern, or both, or topics is text, or the
                listener is none.
            ValueError: The pattern is no regular expression.
            aiokafka.errors.IllegalStateError: Partitions were assigned by hand.
        """
        if bool(topics) == bool(pattern):
            raise TypeError("You should provide either `topics` or `pattern`")
        if listener is not None and not isinstance(
            listener, interfaces().ConsumerRebalanceListener
        ):
            raise TypeError("listener should be an instance of ConsumerRebalanceListener")
        wanted = checked_topics(topics) if topics else frozenset()
        compiled = None if pattern is None else checked_pattern(pattern)
        if self._assigned_by_hand:
            raise errors().IllegalStateError(_EXCLUSIVE)
        self._topics, self._pattern = wanted, compiled
        self.listener = listener
        for topic in self._topics:
            self._broker.create_topic(topic)
        if self._started:
            # Nothing comes until the new subscription has partitions.
            self._fetching = False
            self._group.add(self)
            self._group.start_rebalance()

    def subscription(self) -> frozenset[str]:
        """Tell the topics subscribed to."""
        return self.wants(self._broker.partitions()) if self._pattern else self._topics

    def unsubscribe(self) -> None:
        """Leave all topics."""
        self._topics, self._pattern, self.listener = frozenset(), None, None
        self._assigned_by_hand = False
        self._positions.assign(())
        if self in self._group:
            self._group.remove(self)
            self._group.start_rebalance()

    async def getone(self, *partitions: TopicPartition) -> ConsumerRecord[Any, Any]:
        """Wait for the next record.

        Raises:
            aiokafka.errors.ConsumerStoppedError: The consumer is stopped.
            aiokafka.errors.IllegalStateError: It was never started.
        """
        check_all_partitions(partitions, AssertionError)
        while True:
            self._check_running()
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
        """Take what is there; wait for it up to `timeout_ms` milliseconds.

        Raises:
            ValueError: `max_records` is not positive.
            aiokafka.errors.ConsumerStoppedError: The consumer is stopped.
            aiokafka.errors.IllegalStateError: It was never started.
        """
        check_all_partitions(partitions, AssertionError)
        self._check_running()
        limit = checked_limit(max_records) or self._max_poll_records
        deadline = asyncio.get_running_loop().time() + timeout_ms / 1000
        while True:
            self._check_running()
            if self._fetching:
                taken = self._positions.take(partitions, limit)
                if taken:
                    return taken
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0 or not await self._broker.wakeups.wait(remaining):
                self._check_running()
                return {}

    async def commit(self, offsets: Mapping[TopicPartition, Any] | None = None) -> None:
        """Commit offsets, by default those of all that was handed out.

        Raises:
            aiokafka.errors.IllegalOperation: There is no group.
            aiokafka.errors.IllegalStateError: A partition is not assigned.
            ValueError: `offsets` is empty, no dictionary, or an offset is none.
            TypeError: A key is no partition, or metadata is no text.
        """
        group_id = self._checked_group_id()
        if offsets is None:
            self._broker.commit(group_id, self._consumed())
            return
        wanted = checked_offsets(offsets)
        for partition in wanted:
            self._positions.check(partition)
        self._broker.commit(group_id, wanted)

    async def committed(self, partition: TopicPartition) -> int | None:
        """Tell the offset that the group committed.

        Raises:
            aiokafka.errors.IllegalOperation: There is no group.
        """
        self._checked_group_id()
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
        self._assert_assigned(partition)
        return self._broker.log(partition).end

    def last_stable_offset(self, partition: TopicPartition) -> int:
        """Tell the offset at which open transactions begin."""
        self._assert_assigned(partition)
        return self._broker.log(partition).stable_end

    def last_poll_timestamp(self, partition: TopicPartition) -> int:
        """Tell when records were taken last, unix ms; 0 for never."""
        self._assert_assigned(partition)
        return self._positions.last_taken_ms(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at an offset.

        Raises:
            ValueError: It is negative or no integer.
            aiokafka.errors.IllegalStateError: The partition is not assigned.
        """
        self._positions.seek(partition, checked_offset(offset))
        self._broker.wakeups.wake_all()

    async def seek_to_beginning(self, *partitions: TopicPartition) -> bool:
        """Go on at the first record."""
        for partition in self._chosen(partitions):
            self.seek(partition, 0)
        return True

    async def seek_to_end(self, *partitions: TopicPartition) -> bool:
        """Go on at the next new record."""
        for partition in self._chosen(partitions):
            self.seek(partition, self._broker.log(partition).end)
        return True

    async def seek_to_committed(
        self, *partitions: TopicPartition
    ) -> dict[TopicPartition, int | None]:
        """Go on where the group committed."""
        offsets = {}
        for partition in self._chosen(partitions):
            offset = offsets[partition] = await self.committed(partition)
            if offset is not None:
                self.seek(partition, offset)
        return offsets

    async def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Find the first records that are not older than times in unix ms.

        Raises:
            ValueError: A time is negative.
        """
        kind = structs().OffsetAndTimestamp
        found: dict[TopicPartition, OffsetAndTimestamp | None] = {}
        for partition, timestamp in timestamps.items():
            if timestamp < 0:
                raise ValueError(f"the time for {partition} is {timestamp}, it cannot be negative")
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
        check_all_partitions(partitions)
        self._positions.pause(partitions)

    def paused(self) -> set[TopicPartition]:
        """Tell the paused partitions."""
        return self._positions.paused()

    def resume(self, *partitions: TopicPartition) -> None:
        """Return records from these partitions again."""
        check_all_partitions(partitions)
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
            self._group.committed.update(self._consumed())

    def _consumed(self) -> dict[TopicPartition, OffsetAndMetadata]:
        metadata: Any = structs().OffsetAndMetadata
        return {tp: metadata(at, "") for tp, at in self._positions.handed_out().items()}

    def _chosen(self, partitions: tuple[TopicPartition, ...]) -> Collection[TopicPartition]:
        check_all_partitions(partitions)
        for partition in partitions:
            self._positions.check(partition)
        chosen = partitions or self.assignment()
        if not chosen:
            raise AssertionError("No partitions are currently assigned")
        return chosen

    def _checked_group_id(self) -> str:
        if self.group_id is None:
            raise errors().IllegalOperation("Requires group_id")
        return self.group_id

    def _assert_assigned(self, partition: TopicPartition) -> None:
        if partition not in self.assignment():
            raise AssertionError("Partition is not assigned")

    def _check_open(self) -> None:
        if self._closed:
            raise errors().ConsumerStoppedError

    def _check_running(self) -> None:
        self._check_open()
        if not self._started:
            raise errors().IllegalStateError("the consumer is not running; await its start() first")


async def _heard(callback: Callable[[Any], Any], partitions: set[TopicPartition]) -> None:
    # As in aiokafka, a listener's failure is its own: the rebalance goes on.
    try:
        result = callback(partitions)
        if inspect.isawaitable(result):
            await result
    except Exception:
        _log.exception("the rebalance listener failed in %r with %s", callback, partitions)
