"""A consumer without a network, with the methods of `aiokafka.AIOKafkaConsumer`."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self

from tracing.testing.consumer_offsets import ConsumerOffsets
from tracing.testing.fallbacks import errors, interfaces, structs
from tracing.testing.positions import Positions
from tracing.testing.refusals import (
    check_all_partitions,
    checked_limit,
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
    from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition

    from tracing.testing.broker import InMemoryBroker

_log = logging.getLogger("tracing.testing.consumer")

_EXCLUSIVE = "Subscription to topics, partitions and pattern are mutually exclusive"


class InMemoryConsumer(ConsumerOffsets):
    """Reads from an `InMemoryBroker`; a stand-in for `aiokafka.AIOKafkaConsumer` 0.14.

    Args:
        topics: The topics to subscribe to.
        broker: Holds the records.
        group_id: The consumer group; without one, it reads all partitions and commits nothing.
        client_id: Kafka's `client.id`.
        auto_offset_reset: Where to begin without a committed offset: `earliest` or `latest`.
        enable_auto_commit: Whether delivered records are committed on stop and rebalance.
        key_deserializer: Turns key bytes into keys.
        value_deserializer: Turns value bytes into values.
        max_poll_records: How many records `getmany` returns at most, by default.

    Raises:
        ValueError: `auto_offset_reset` or `max_poll_records` is invalid.
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
        positions = Positions(
            broker,
            from_start=auto_offset_reset == "earliest",
            key_deserializer=key_deserializer,
            value_deserializer=value_deserializer,
        )
        super().__init__(broker, group_id, broker.group(group_id), positions)
        self.client_id = client_id
        self.enable_auto_commit = enable_auto_commit
        # As aiokafka keeps them; it has no public way to ask.
        self._key_deserializer = key_deserializer
        self._value_deserializer = value_deserializer
        self._max_poll_records = checked_limit(max_poll_records)
        self._topics = frozenset(topics)
        self._pattern: re.Pattern[str] | None = None
        self.listener: ConsumerRebalanceListener | None = None
        """Is called at rebalances; set by `subscribe`."""
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
        """Return those of the topics that the consumer subscribes to."""
        if self._pattern is not None:
            return frozenset(topic for topic in topics if self._pattern.match(topic))
        return self._topics.intersection(topics)

    async def give_up(self) -> None:
        """Stop fetching and release all partitions."""
        revoked = self.assignment()
        self._fetching = False
        if self.listener is not None:
            await _notified(self.listener.on_partitions_revoked, revoked)
        self._auto_commit()
        self._positions.assign(())

    async def take(self, partitions: Collection[TopicPartition]) -> None:
        """Accept the assigned partitions and fetch again."""
        self._positions.assign(partitions, {} if self.group_id is None else self._group.committed)
        if self.listener is not None:
            await _notified(self.listener.on_partitions_assigned, set(partitions))
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
        """Leave the group; calls that wait for a record raise `ConsumerStoppedError`."""
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
        """Read these partitions, without group management.

        Raises:
            aiokafka.errors.IllegalStateError: The consumer is subscribed to topics.
        """
        if self._topics or self._pattern:
            raise errors().IllegalStateError(_EXCLUSIVE)
        self._assigned_by_hand = True
        self._positions.assign(tuple(partitions), self._group.committed)

    def subscribe(
        self,
        topics: Iterable[str] = (),
        pattern: str | None = None,
        listener: ConsumerRebalanceListener | None = None,
    ) -> None:
        """Read topics, or those whose names match a pattern, as a member of the group.

        Raises:
            TypeError: There are neither topics nor a pattern, or both, or topics is text, or
                `listener` is no rebalance listener.
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
            # No record is delivered until the new subscription has partitions.
            self._fetching = False
            self._group.add(self)
            self._group.start_rebalance()

    def subscription(self) -> frozenset[str]:
        """Return the topics subscribed to."""
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
            aiokafka.errors.IllegalStateError: The consumer was never started.
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
        """Return the available records; wait for some for up to `timeout_ms` milliseconds.

        Raises:
            ValueError: `max_records` is not positive.
            aiokafka.errors.ConsumerStoppedError: The consumer is stopped.
            aiokafka.errors.IllegalStateError: The consumer was never started.
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
        """Commit offsets, by default those of all delivered records.

        Raises:
            aiokafka.errors.IllegalOperation: There is no group.
            aiokafka.errors.IllegalStateError: A partition is not assigned.
            ValueError: `offsets` is empty, no dictionary, or an offset is invalid.
            TypeError: A key is no partition, or metadata is no text.
        """
        group_id = self._checked_group_id()
        if offsets is None:
            self._broker.commit(group_id, self._consumed())
            return
        checked = checked_offsets(offsets)
        for partition in checked:
            self._positions.check(partition)
        self._broker.commit(group_id, checked)

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

    def _check_open(self) -> None:
        if self._closed:
            raise errors().ConsumerStoppedError

    def _check_running(self) -> None:
        self._check_open()
        if not self._started:
            raise errors().IllegalStateError("the consumer is not running; await its start() first")


async def _notified(callback: Callable[[Any], Any], partitions: set[TopicPartition]) -> None:
    # As in aiokafka, a listener's error does not stop the rebalance.
    try:
        result = callback(partitions)
        if inspect.isawaitable(result):
            await result
    except Exception:
        _log.exception("the rebalance listener failed in %r with %s", callback, partitions)
