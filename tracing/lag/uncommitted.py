"""Partitions that a group reads and has committed nothing on.

Only an assignment names them. It ends with the group's last member, and the next one may end before
its first commit as well, as where a new service fails at its first record. So the last assignment
counts while the group is empty. Kafka forgets an empty group without commits, by default within ten
minutes (the broker's `offsets.retention.check.interval.ms`); then nothing is left to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Container

    from aiokafka.structs import TopicPartition

    from tracing.kafka.groups import Group
    from tracing.kafka.topic_ids import Log


class Uncommitted:
    """Remembers the last assignment of each group, and from where its lag counts. For one task."""

    def __init__(self) -> None:
        self._assigned: dict[str, frozenset[TopicPartition]] = {}
        self._counted_from: dict[tuple[str, Log], int] = {}

    def of(self, group: Group, committed: Collection[TopicPartition]) -> frozenset[TopicPartition]:
        """Return the partitions that a group reads, or would read, and has not committed on.

        Args:
            group: The group, as it is now.
            committed: The partitions on which it has committed.
        """
        if group.members and group.assigned is not None:
            self._assigned[group.name] = group.assigned
        if group.members is None:
            # It may not exist.
            return frozenset()
        return self._assigned.get(group.name, frozenset()).difference(committed)

    def count_from(self, group: str, log: Log, offset: int) -> int:
        """Return the offset to count lag from without a commit: that of the first call."""
        return self._counted_from.setdefault((group, log), offset)

    def committed(self, group: str, log: Log) -> None:
        """Forget the offset to count from, as the group has committed."""
        self._counted_from.pop((group, log), None)

    def keep(self, groups: Container[str], logs: Container[Log]) -> None:
        """Forget all other groups and logs, as they are gone."""
        self._assigned = {
            name: assigned for name, assigned in self._assigned.items() if name in groups
        }
        self._counted_from = {
            (group, log): offset
            for (group, log), offset in self._counted_from.items()
            if group in groups and log in logs
        }
