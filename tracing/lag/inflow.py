"""How a topic's new records are spread over its partitions.

A partition is hot if it gets far more than an even share: three times as much, or, in topics with
few partitions, more than half of the way from an even share to everything. That must hold in both
halves of the window, because producers fill one partition after another, and it must not be chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from tracing.lag.regression import covers, with_point

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from tracing.kafka.topic_ids import Log

_FAR_ABOVE: Final = 3.0
# Standard deviations above an even share, of records that are spread at random, and records on top:
# few records are not normally distributed.
_NO_CHANCE: Final = 5.0
_FEW: Final = 5


@dataclass(frozen=True, slots=True)
class InflowShare:
    """A partition's share of the new records of its topic.

    Attributes:
        share: From 0 to 1, over the window.
        hot: Whether it is far above an even share.
    """

    share: float
    hot: bool


class _End(NamedTuple):
    at: float
    end: int


class Inflows:
    """The ends of all logs over the window. For one task.

    Args:
        window_s: The length of the window, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._ends: dict[Log, tuple[_End, ...]] = {}

    def observe(
        self,
        at: float,
        ends: Mapping[Log, int],
        existing: Container[Log],
    ) -> dict[Log, InflowShare]:
        """Record where logs end, and return the shares that are known.

        Args:
            at: The moment, in seconds, later than all previous ones.
            ends: Where logs end; shares are exact only if all partitions of a topic are in it.
            existing: Logs that still exist; others are forgotten.
        """
        for gone in [log for log in self._ends if log not in existing]:
            del self._ends[gone]
        topics: dict[str, dict[Log, tuple[int, int]]] = {}
        for log, end in ends.items():
            before = self._ends.get(log, ())
            # Without topic ids, a log that became shorter belongs to a new topic of the same name.
            if before and end < before[-1].end:
                before = ()
            points = self._ends[log] = with_point(before, _End(at, end), self._window_s)
            if covers(points, self._window_s):
                topics.setdefault(log.topic, {})[log] = _halves(points, at - self._window_s / 2)
        return {
            log: share for counts in topics.values() for log, share in shares_of(counts).items()
        }


def shares_of(
    counts: Mapping[Log, tuple[int, int]],
) -> dict[Log, InflowShare]:
    """Return the shares of a topic's partitions.

    Args:
        counts: New records of each partition in the older and in the newer half of the window.
    """
    older = sum(before for before, _ in counts.values())
    newer = sum(after for _, after in counts.values())
    total = older + newer
    even = 1 / max(1, len(counts))
    if even == 1 or not total:
        return {}
    limit = min(_FAR_ABOVE * even, (1 + even) / 2)
    above_chance = total * even + _NO_CHANCE * sqrt(total * even * (1 - even)) + _FEW
    return {
        log: InflowShare(
            (before + after) / total,
            before >= limit * older > 0
            and after >= limit * newer > 0
            and before + after >= above_chance,
        )
        for log, (before, after) in counts.items()
    }


def _halves(points: Sequence[_End], middle: float) -> tuple[int, int]:
    between = max((point.end for point in points if point.at <= middle), default=points[0].end)
    return between - points[0].end, points[-1].end - between
