"""A broker that lives in the test's own process, for `InMemoryProducer` and `InMemoryConsumer`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from tracing.testing.acknowledgements import Acknowledgements
from tracing.testing.group import Group
from tracing.testing.kafka_types import errors, structs
from tracing.testing.partition_log import PartitionLog
from tracing.testing.record_conversion import consumer_record, record_metadata
from tracing.testing.wakeups import Wakeups

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from aiokafka.structs import (
        ConsumerRecord,
        OffsetAndMetadata,
        RecordMetadata,
        TopicPartition,
    )

    from tracing.testing.partition_log import RecordContent


class InMemoryBroker:
    """Topics, records, groups and committed offsets; needs no start and no stop.

    A topic comes into being when a client first names it. The broker belongs to the event loop
    that first uses it, and is not thread-safe.

    Args:
        partitions: How many partitions a topic gets.

    Raises:
        ValueError: `partitions` is less than one.
    """

    def __init__(self, partitions: int = 4) -> None:
        self._partitions = _checked_count(partitions)
        self._logs: dict[str, dict[TopicPartition, PartitionLog]] = {}
        self._groups: dict[str, Group] = {}
        self._nameless_groups: list[Group] = []
        self._send_faults: deque[Exception] = deque()
        self._commit_faults: deque[Exception] = deque()
        self._acknowledgements = Acknowledgements()
        self.wakeups = Wakeups()

    def create_topic(self, topic: str, *, partitions: int | None = None) -> None:
        """Create a topic, unless it exists.

        Args:
            topic: Its name.
            partitions: How many partitions; by default as many as the broker gives.

        Raises:
            ValueError: `partitions` is less than one.
        """
        count = self._partitions if partitions is None else _checked_count(partitions)
        if topic in self._logs:
            return
        self._logs[topic] = {
            structs().TopicPartition(topic, number): PartitionLog() for number in range(count)
        }
        for group in (*self._groups.values(), *self._nameless_groups):
            group.topic_created(topic)

    def partitions(self) -> Mapping[str, tuple[TopicPartition, ...]]:
        """Tell all partitions by topic."""
        return {topic: tuple(logs) for topic, logs in self._logs.items()}

    def log(self, partition: TopicPartition) -> PartitionLog:
        """Return a partition's log, creating the topic where it is new.

        Raises:
            aiokafka.errors.IllegalStateError: The topic has no such partition.
        """
        self.create_topic(partition.topic)
        try:
            return self._logs[partition.topic][partition]
        except KeyError:
            raise errors().IllegalStateError(
                f"topic {partition.topic!r} has no partition {partition.partition}, only "
                f"0 to {len(self._logs[partition.topic]) - 1}"
            ) from None

    def records(self, topic: str) -> tuple[ConsumerRecord[Any, Any], ...]:
        """Return a topic's readable records, still serialised, by partition and offset."""
        return tuple(
            consumer_record(partition, stored)
            for partition, log in self._logs.get(topic, {}).items()
            for stored in log.read(0)
        )

    def committed(self, group_id: str, partition: TopicPartition) -> int | None:
        """Tell the offset that a group committed, `None` where it did not."""
        found = self.group(group_id).committed.get(partition)
        return None if found is None else found.offset

    def fail_next_send(self, error: Exception) -> None:
        """Store nothing at the next send and fail its future with `error`; calls add up."""
        self._send_faults.append(error)

    def fail_next_commit(self, error: Exception) -> None:
        """Store nothing at the next explicit commit and raise `error`; calls add up."""
        self._commit_faults.append(error)

    def hold_acks(self) -> AbstractContextManager[None]:
        """Keep acknowledgements back inside a `with` block, release them at its end.

        The records themselves are stored, and readable, at once.
        """
        return self._acknowledgements.hold()

    def append(
        self,
        partition: TopicPartition,
        contents: Sequence[RecordContent],
        *,
        in_transaction: bool = False,
    ) -> asyncio.Future[RecordMetadata]:
        """Store records; what a producer calls.

        Args:
            partition: Where to.
            contents: The records; the acknowledgement is the first one's.
            in_transaction: Whether to hide them until `settle`.

        Returns:
            The acknowledgement, resolved in a later turn of the event loop.
        """
        log = self.log(partition)
        if self._send_faults:
            return self._acknowledgements.announce(self._send_faults.popleft())
        offset = log.end
        for content in contents:
            log.append(content, in_transaction=in_transaction)
        self.wakeups.wake_all()
        timestamp = contents[0].timestamp if contents else None
        return self._acknowledgements.announce(record_metadata(partition, offset, timestamp))

    def settle(self, written: Mapping[TopicPartition, Sequence[int]], *, committed: bool) -> None:
        """End a transaction; what a producer calls.

        Args:
            written: The offsets that the transaction took.
            committed: Whether the records become readable, or never do.
        """
        for partition, offsets in written.items():
            log = self.log(partition)
            for offset in offsets:
                log.settle(offset, committed=committed)
        self.wakeups.wake_all()

    def commit(self, group_id: str, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Store a group's offsets; what a consumer calls for an explicit commit.

        Raises:
            Exception: What `fail_next_commit` was given.
        """
        if self._commit_faults:
            raise self._commit_faults.popleft()
        self.group(group_id).committed.update(offsets)

    def group(self, group_id: str | None) -> Group:
        """Return a group; a new one for each `None`, as consumers without a group share nothing."""
        if group_id is not None and group_id in self._groups:
            return self._groups[group_id]
        group = Group(self.partitions, self.wakeups.wake_all)
        if group_id is None:
            self._nameless_groups.append(group)
        else:
            self._groups[group_id] = group
        return group


def _checked_count(partitions: int) -> int:
    if partitions < 1:
        raise ValueError(f"partitions is {partitions}, must be at least 1")
    return partitions
