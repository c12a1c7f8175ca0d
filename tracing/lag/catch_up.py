"""Groups that work off history, as seen from outside.

A group is catching up on a partition until it reaches an offset, which is known in three ways:

1. The metadata of its committed offset says so, which this library writes (see
   `tracing.messaging.catch_up`).
2. The monitor saw the group come: it had committed nothing, or did not exist, one sweep before, and
   the first record that it has not committed is older than a few seconds. Then it is the end of the
   log of that sweep, or of the first sweep in which a member had the partition.
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
"""As `tracing.messaging.catch_up.GRACE_MS`."""


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
        new: Whether the last sweep saw everything but this.
    """

    committed: int | None
    counted_from: int
    end: int
    marked: int | None
    lag_s: float | None
    new: bool


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
        elif last is None and seen.new and key not in self._until and (seen.lag_s or 0) > _OLD_S:
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


def catch_up(until: int | None, committed: int | None, velocity: Velocity | None) -> CatchUp | None:
    """Return how far a group has caught up; `None` if it does not."""
    if until is None or committed is None:
        return None
    remaining = until - committed
    if velocity is None:
        return CatchUp(until, remaining, None, None)
    rate = max(0.0, velocity.commits)
    return CatchUp(until, remaining, rate, remaining / rate if rate and velocity.moving else inf)
