"""A broker that lives in the test's own process, for `InMemoryProducer` and `InMemoryConsumer`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from tracing.testing.fallbacks import errors, structs
from tracing.testing.group import Group
from tracing.testing.notifications import Acknowledgements, Wakeups
from tracing.testing.partition_log import PartitionLog
from tracing.testing.record_conversion import consumer_record, record_metadata

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
    """Holds topics, records, groups and committed offsets; needs no start and no stop.

    A topic is created when a client first names it. The broker belongs to the event loop
    that first uses it, and is not thread-safe.

    Args:
        partitions: The number of partitions of a new topic.

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
        """Create a topic if it does not exist.

        Args:
            topic: Its name.
            partitions: The number of partitions; by default the broker's.

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
        """Return all partitions by topic."""
        return {topic: tuple(logs) for topic, logs in self._logs.items()}

    def log(self, partition: TopicPartition) -> PartitionLog:
        """Return a partition's log; create the topic if it does not exist.

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
        """Return the offset that a group committed; `None` without one."""
        committed = self.group(group_id).committed.get(partition)
        return None if committed is None else committed.offset

    def fail_next_send(self, error: Exception) -> None:
        """Store nothing at the next send and fail its future with `error`; calls queue up."""
        self._send_faults.append(error)

    def fail_next_commit(self, error: Exception) -> None:
        """Store nothing at the next explicit commit and raise `error`; calls queue up."""
        self._commit_faults.append(error)

    def hold_acks(self) -> AbstractContextManager[None]:
        """Hold acknowledgements back inside a `with` block, and release them at its end.

        The records themselves are stored at once, and can be read.
        """
        return self._acknowledgements.hold()

    def append(
        self,
        partition: TopicPartition,
        contents: Sequence[RecordContent],
        *,
        in_transaction: bool = False,
    ) -> asyncio.Future[RecordMetadata]:
        """Store records; producers call it.

        Args:
            partition: The partition that stores them.
            contents: The records; the acknowledgement is that of the first one.
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

    def settle(self, offsets: Mapping[TopicPartition, Sequence[int]], *, committed: bool) -> None:
        """End a transaction; producers call it.

        Args:
            offsets: The offsets of the transaction's records.
            committed: Whether the records become readable; otherwise they never do.
        """
        for partition, settled in offsets.items():
            log = self.log(partition)
            for offset in settled:
                log.settle(offset, committed=committed)
        self.wakeups.wake_all()

    def commit(self, group_id: str, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Store a group's offsets; consumers call it for an explicit commit.

        Raises:
            Exception: The error passed to `fail_next_commit`.
        """
        if self._commit_faults:
            raise self._commit_faults.popleft()
        self.group(group_id).committed.update(offsets)

    def group(self, group_id: str | None) -> Group:
        """Return a group; a new one for `None`, since consumers without a group share nothing."""
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
