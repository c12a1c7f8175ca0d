"""The state of the cluster itself: brokers, replicas and leaders, from one answer per sweep.

Each election raises the leader epoch of its partition by one (KIP-320), so the sum of a topic's
epochs grows with each of them, also with those between two sweeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.kafka.topic_ids import Log, Replication


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The cluster itself, among the topics that may be described.

    Attributes:
        brokers: How many brokers there are.
        under_replicated: Partitions of which fewer replicas are in sync than there should be;
            `None` if unknown.
        offline: Partitions without a leader; `None` if unknown.
        leader_changes: Elections of a leader since the last sweep.
    """

    brokers: int
    under_replicated: int | None
    offline: int | None
    leader_changes: int


class Brokers:
    """Remembers how many leaders there were, from sweep to sweep. For one task."""

    def __init__(self) -> None:
        self._elections: dict[Log, int] = {}

    def observe(self, brokers: int, replication: Mapping[Log, Replication]) -> ClusterState:
        """Return the state of the cluster.

        Args:
            brokers: How many there are.
            replication: How topics are replicated, by their id; empty if unknown. A topic that is
                new, or of which partitions are, has no changes.
        """
        if not replication:
            return ClusterState(brokers, None, None, 0)
        changes = sum(
            max(0, each.elections - self._elections.get(log, each.elections))
            for log, each in replication.items()
        )
        self._elections = {log: each.elections for log, each in replication.items()}
        return ClusterState(
            brokers,
            sum(each.under_replicated for each in replication.values()),
            sum(each.offline for each in replication.values()),
            changes,
        )
