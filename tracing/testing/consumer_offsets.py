"""Where an in-memory consumer reads next, and which offsets its partitions have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracing.testing.fallbacks import errors, structs
from tracing.testing.refusals import check_all_partitions, checked_offset

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from aiokafka.structs import OffsetAndTimestamp, TopicPartition

    from tracing.testing.broker import InMemoryBroker
    from tracing.testing.group import Group
    from tracing.testing.positions import Positions


class ConsumerOffsets:
    """The methods of a consumer that read and move its positions.

    Args:
        broker: Holds the records.
        group_id: The consumer group, if there is one.
        group: Holds the committed offsets.
        positions: The next offset of each assigned partition.
    """

    def __init__(
        self, broker: InMemoryBroker, group_id: str | None, group: Group, positions: Positions
    ) -> None:
        self.group_id = group_id
        self._broker = broker
        self._group = group
        self._positions = positions

    def assignment(self) -> set[TopicPartition]:
        """Return the assigned partitions."""
        return self._positions.assignment()

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the offset that the group committed.

        Raises:
            aiokafka.errors.IllegalOperation: There is no group.
        """
        self._checked_group_id()
        committed = self._group.committed.get(partition)
        return None if committed is None else committed.offset

    async def topics(self) -> set[str]:
        """Return the names of all topics."""
        return set(self._broker.partitions())

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the numbers of a topic's partitions."""
        partitions = self._broker.partitions().get(topic)
        return None if partitions is None else {each.partition for each in partitions}

    async def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record to read."""
        return self._positions.position(partition)

    def highwater(self, partition: TopicPartition) -> int:
        """Return the offset that the next produced record will get."""
        self._assert_assigned(partition)
        return self._broker.log(partition).end

    def last_stable_offset(self, partition: TopicPartition) -> int:
        """Return the offset at which the first open transaction begins."""
        self._assert_assigned(partition)
        return self._broker.log(partition).stable_end

    def last_poll_timestamp(self, partition: TopicPartition) -> int:
        """Return when records were last taken, unix ms; 0 for never."""
        self._assert_assigned(partition)
        return self._positions.last_taken_ms(partition)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue at an offset.

        Raises:
            ValueError: The offset is negative or no integer.
            aiokafka.errors.IllegalStateError: The partition is not assigned.
        """
        self._positions.seek(partition, checked_offset(offset))
        self._broker.wakeups.wake_all()

    async def seek_to_beginning(self, *partitions: TopicPartition) -> bool:
        """Continue at the first record."""
        for partition in self._chosen(partitions):
            self.seek(partition, 0)
        return True

    async def seek_to_end(self, *partitions: TopicPartition) -> bool:
        """Continue at the next new record."""
        for partition in self._chosen(partitions):
            self.seek(partition, self._broker.log(partition).end)
        return True

    async def seek_to_committed(
        self, *partitions: TopicPartition
    ) -> dict[TopicPartition, int | None]:
        """Continue at the offsets that the group committed."""
        offsets = {}
        for partition in self._chosen(partitions):
            offset = offsets[partition] = await self.committed(partition)
            if offset is not None:
                self.seek(partition, offset)
        return offsets

    async def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Return the first records at or after the given times, unix ms.

        Raises:
            ValueError: A time is negative.
        """
        kind = structs().OffsetAndTimestamp
        offsets: dict[TopicPartition, OffsetAndTimestamp | None] = {}
        for partition, timestamp in timestamps.items():
            if timestamp < 0:
                raise ValueError(f"the time for {partition} is {timestamp}, it cannot be negative")
            record = self._broker.log(partition).first_at(timestamp)
            offsets[partition] = (
                None if record is None else kind(record.offset, record.content.timestamp)
            )
        return offsets

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first offset of each partition."""
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset that the next record of each partition will get."""
        return {partition: self._broker.log(partition).end for partition in partitions}

    def pause(self, *partitions: TopicPartition) -> None:
        """Return nothing from these partitions until they are resumed."""
        check_all_partitions(partitions)
        self._positions.pause(partitions)

    def paused(self) -> set[TopicPartition]:
        """Return the paused partitions."""
        return self._positions.paused()

    def resume(self, *partitions: TopicPartition) -> None:
        """Return records from these partitions again."""
        check_all_partitions(partitions)
        self._positions.resume(partitions)
        self._broker.wakeups.wake_all()

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
