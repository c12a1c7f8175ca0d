"""Why a group is behind, where that can be known from outside.

The first rule that matches decides about a partition with waiting records that is neither ok nor
abandoned:

1. The group has no members: **no_members**.
2. The group rebalanced in at least half of the sweeps of the window: **rebalancing**.
3. No member has the partition, and it is dead: **no_members**.
4. It is stalled, or lagging without a commit in the newer half of the window: **stalled_commits**.
5. It is lagging, is committed to, and does not catch up: **inflow_above_capacity**.

A group that another one has replaced is **replaced** (`tracing.lag.successors`).

Where exactly one partition of a topic is behind and the status of the others is ok, the cause of
the group is **one_partition**: a record that blocks it, a hot key or a stuck handler.
"""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING, Final

from tracing.lag.model import SEVERITY, Cause, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracing.lag.model import PartitionLag
    from tracing.lag.velocity import Velocity

_NO_PROBLEM: Final = frozenset({Status.OK, Status.CATCHING_UP, Status.ABANDONED})
_OF_THE_GROUP: Final = frozenset({Cause.NO_MEMBERS, Cause.REBALANCING})
_REBALANCING: Final = frozenset(
    {"PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling"}
)
"""States of groups of the classic protocol and of KIP-848."""


def partition_cause(
    status: Status | None,
    *,
    members: int | None,
    assigned: bool | None,
    rebalancing: bool,
    velocity: Velocity | None,
) -> Cause | None:
    """Return why a group is behind on a partition with waiting records; `None` if unknown."""
    if status in _NO_PROBLEM:
        return None
    halts = overrun = False
    if status is Status.LAGGING and velocity is not None:
        halts = not velocity.moving
        overrun = velocity.inflow > 0 and isinf(velocity.catch_up_s)
    rules = (
        (members == 0, Cause.NO_MEMBERS),
        (rebalancing, Cause.REBALANCING),
        (status is Status.DEAD and assigned is False, Cause.NO_MEMBERS),
        (status is Status.STALLED or halts, Cause.STALLED_COMMITS),
        (overrun, Cause.INFLOW_ABOVE_CAPACITY),
    )
    return next((cause for matches, cause in rules if matches), None)


def cause_of(partitions: Sequence[PartitionLag]) -> Cause | None:
    """Return why a group is behind on several partitions; `None` if it is not, or unknown."""
    behind = [part for part in partitions if part.cause is not None]
    if not behind:
        return None
    worst = max(
        behind, key=lambda part: (-1 if part.status is None else SEVERITY[part.status], part.lag)
    )
    if worst.cause not in _OF_THE_GROUP and len(behind) == 1:
        others = [part for part in partitions if part.topic == worst.topic and part is not worst]
        if others and all(part.status is Status.OK for part in others):
            return Cause.ONE_PARTITION
    return worst.cause


class Rebalances:
    """Which groups rebalanced in the sweeps of the window. For one task.

    Args:
        window_s: The length of the window, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seen: dict[str, list[tuple[float, bool]]] = {}

    def observe(self, group: str, at: float, state: str) -> bool:
        """Record a group's state, and return whether it rebalanced most of the time.

        Args:
            group: The group.
            at: The moment, in seconds; only differences count.
            state: Its state.
        """
        seen = [each for each in self._seen.get(group, ()) if each[0] >= at - self._window_s]
        seen.append((at, state in _REBALANCING))
        self._seen[group] = seen
        return 2 * sum(rebalancing for _, rebalancing in seen) >= len(seen)

    def forget_before(self, moment: float) -> None:
        """Forget groups that were last seen before a moment."""
        gone = [group for group, seen in self._seen.items() if seen[-1][0] < moment]
        for group in gone:
            del self._seen[group]
