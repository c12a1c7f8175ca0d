"""Groups that work off history, as seen from outside.

A group is catching up on a partition until it reaches an offset, which is known in three ways:

1. The metadata of its committed offset says so, which this library writes (see
   `tracing.messaging.catch_up`).
2. The monitor saw the group come: it had neither members nor commits in an earlier sweep, and the
   first record that it has not committed is older than that sweep. Then it is the end of the log at
   the first commit, or in the first sweep in which a member had the partition without a commit.
3. The monitor saw its committed offset go back: to where it was before.

What is committed from there on is neither lag nor late.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

    from tracing.kafka.topic_ids import Log
    from tracing.lag.velocity import Velocity

_OLD_S: Final = 5.0
"""How much older than that sweep, as `tracing.messaging.catch_up.GRACE_MS`."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How far a group that started on history has caught up on a partition.

    Attributes:
        until: The offset at which it has caught up: the end of the log that it saw at its start.
        remaining: Offsets that are left until there.
        rate: Offsets per second that it commits; `None` until the monitor has watched for half a
            window.
        left_s: Seconds until it is there, at that rate; `math.inf` if it does not move.
    """

    until: int
    remaining: int
    rate: float | None
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A group on a partition in one sweep.

    Attributes:
        committed: The committed offset; `None` without one.
        counted_from: The offset from which lag counts.
        end: The log's end.
        marked: The end of the history, by the metadata of the offset; `None` if that has none.
        lag_s: How long the oldest uncommitted record has waited, in seconds; `None` if unknown.
        absent_s: Seconds since the last sweep in which the group had neither members nor commits;
            `None` if there is none.
    """

    committed: int | None
    counted_from: int
    end: int
    marked: int | None
    lag_s: float | None
    absent_s: float | None


class CatchUps:
    """The ends of the histories that groups work off. For one task."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, Log], int] = {}
        self._committed: dict[tuple[str, Log], int] = {}

    def until(self, group: str, log: Log, seen: Seen) -> int | None:
        """Record a sweep; return the offset that the group catches up to; `None` if it does not."""
        key = (group, log)
        if seen.committed is None:
            self._until[key] = seen.counted_from
            return None
        last = self._committed.get(key)
        self._committed[key] = seen.committed
        if seen.marked is not None:
            # More exact than what was seen from outside.
            self._until[key] = seen.marked
        elif last is not None and seen.committed < last:
            self._until[key] = max(last, self._until.get(key, 0))
        elif (
            last is None
            and key not in self._until
            and seen.absent_s is not None
            and (seen.lag_s or 0.0) > seen.absent_s + _OLD_S
        ):
            self._until[key] = seen.end
        until = self._until.get(key, 0)
        # Beyond the log's end, it is that of an earlier topic of the same name.
        if seen.committed < until <= seen.end:
            return until
        self._until.pop(key, None)
        return None

    def keep(self, known: Container[tuple[str, Log]]) -> None:
        """Forget groups and partitions that are not known any longer."""
        for memory in (self._until, self._committed):
            for key in [key for key in memory if key not in known]:
                del memory[key]


class Births:
    """When groups had neither members nor commits yet. For one task."""

    def __init__(self) -> None:
        self._absent_at: dict[str, float] = {}
        self._known: frozenset[str] | None = None
        self._at = 0.0

    def observe(self, at: float, existing: frozenset[str], *, complete: bool) -> None:
        """Record which groups have members or commits.

        Args:
            at: The moment, in seconds, later than all previous ones.
            existing: Their names.
            complete: Whether others have none.
        """
        if self._known is not None:
            for group in existing - self._known:
                self._absent_at.setdefault(group, self._at)
        for gone in self._absent_at.keys() - existing if complete else ():
            del self._absent_at[gone]
        self._known = existing if complete else None
        self._at = at

    def absent_at(self, group: str) -> float | None:
        """Return when a group last had neither; `None` if it was always there."""
        return self._absent_at.get(group)

    def absent_s(self, group: str, at: float) -> float | None:
        """Return how long ago a group had neither; `None` if it was always there."""
        absent_at = self.absent_at(group)
        return None if absent_at is None else max(0.0, at - absent_at)


def catch_up(until: int | None, committed: int | None, velocity: Velocity | None) -> CatchUp | None:
    """Return how far a group has caught up; `None` if it does not."""
    if until is None or committed is None:
        return None
    remaining = until - committed
    if velocity is None:
        return CatchUp(until, remaining, None, None)
    rate = max(0.0, velocity.commits)
    return CatchUp(until, remaining, rate, remaining / rate if rate and velocity.moving else inf)
