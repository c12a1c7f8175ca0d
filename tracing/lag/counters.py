"""What the sweeps of a lag monitor add up to: records lost, and offsets that went back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from tracing.metrics.series import OTHER

if TYPE_CHECKING:
    from tracing.lag.model import PartitionLag, Sweep

# A broker that does not answer for a while must not cause old losses to count again.
_REMEMBERED_S: Final = 3600.0


class _Total:
    """The total of one series."""

    __slots__ = ("seen_at", "value")

    def __init__(self) -> None:
        self.value = 0
        self.seen_at = 0.0


class _Totals:
    """The totals of all series of a counter. For one task.

    Args:
        partitions: Whether each partition has a series, instead of each topic.
        max_series: Largest number of series; others share one.
    """

    def __init__(self, *, partitions: bool, max_series: int) -> None:
        self._partitions = partitions
        self._max_series = max_series
        self._totals: dict[tuple[str, ...], _Total] = {}

    def of(self, group: str, part: PartitionLag, now: float) -> tuple[tuple[str, ...], _Total]:
        """Return label values and total of the series of a partition that is in a sweep."""
        key: tuple[str, ...] = (group, part.topic)
        if self._partitions:
            key = (*key, str(part.partition))
        if key not in self._totals and len(self._totals) >= self._max_series:
            key = (OTHER, OTHER)
        total = self._totals.setdefault(key, _Total())
        total.seen_at = now
        return key, total

    def forget_before(self, moment: float) -> None:
        """Forget the series that no sweep had since."""
        for key in [key for key, total in self._totals.items() if total.seen_at < moment]:
            del self._totals[key]


class _Seen(NamedTuple):
    offset: int
    topic_id: str | None
    at: float

    def is_of(self, topic_id: str | None) -> bool:
        """Return whether this may be about the log of a topic with an id, which can be unknown."""
        return None in {self.topic_id, topic_id} or self.topic_id == topic_id


class _Counter(ABC):
    """Adds up something of the partitions of all sweeps, by series. For one task.

    Args:
        partitions: Whether each partition has a series, instead of each topic.
        max_series: Largest number of series; others share one.
    """

    def __init__(self, *, partitions: bool, max_series: int) -> None:
        self._totals = _Totals(partitions=partitions, max_series=max_series)
        self._seen: dict[tuple[str, str, int], _Seen] = {}

    def count(self, sweep: Sweep) -> list[tuple[tuple[str, ...], int]]:
        """Add what a sweep has; return label values and totals of its series."""
        now = monotonic()
        present = {}
        for group in sweep.groups:
            for part in group.current:
                key, total = self._totals.of(group.group, part, now)
                present[key] = total
                if part.committed is not None:
                    total.value += self._new(group.group, part, part.committed, now)
        self._forget_before(now - _REMEMBERED_S)
        return [(key, total.value) for key, total in present.items()]

    @abstractmethod
    def _new(self, group: str, part: PartitionLag, committed: int, now: float) -> int:
        """Return what a partition has that was not counted before."""

    def _replace(self, group: str, part: PartitionLag, offset: int, now: float) -> _Seen | None:
        """Remember an offset of a partition; return what was remembered of it before."""
        place = (group, part.topic, part.partition)
        before = self._seen.get(place)
        if before is not None and not before.is_of(part.topic_id):
            before = None
        topic_id = part.topic_id or (None if before is None else before.topic_id)
        self._seen[place] = _Seen(offset, topic_id, now)
        return before

    def _forget_before(self, moment: float) -> None:
        self._totals.forget_before(moment)
        for place in [place for place, each in self._seen.items() if each.at < moment]:
            del self._seen[place]


class LossCounter(_Counter):
    """Adds up losses, each once.

    A loss that exists at the monitor's start counts, too: it may have happened while no monitor
    ran.
    """

    def _new(self, group: str, part: PartitionLag, committed: int, now: float) -> int:
        if not part.lost:
            return 0
        start = committed + part.lost
        before = self._replace(group, part, start, now)
        # Without topic ids, a log that starts earlier belongs to a new topic of the same name.
        if before is None or start < before.offset:
            return part.lost
        return start - max(committed, before.offset)


class RewindCounter(_Counter):
    """Adds up by how much committed offsets went back between sweeps.

    An offset that goes back and forth between two sweeps is not seen.
    """

    def _new(self, group: str, part: PartitionLag, committed: int, now: float) -> int:
        before = self._replace(group, part, committed, now)
        if before is None:
            return 0
        # Without topic ids, a log that ends earlier belongs to a new topic of the same name.
        if None in {before.topic_id, part.topic_id} and part.end < before.offset:
            return 0
        return max(0, before.offset - committed)
