"""Estimate when a log reached an offset, from observations of its end."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from time import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from tracing.kafka.topic_ids import Log

_MOST: Final = 128


class Timeline:
    """Observed ends of one log, in bounded memory. For one task.

    A log's end never falls: a lower end means a new log, where topic ids do not show it.
    """

    __slots__ = ("_ends", "_times")

    def __init__(self) -> None:
        self._times = array("d")
        self._ends = array("q")

    @property
    def has_times(self) -> bool:
        """Whether there are two observations; one alone gives no time."""
        return len(self._times) > 1

    def observe(self, at: float, end: int) -> None:
        """Record the end at a moment, in seconds, later than all previous ones."""
        times, ends = self._times, self._ends
        if ends and end < ends[-1]:
            del times[:], ends[:]
        # Of a quiet period, the first and the last moment are enough.
        if len(ends) > 1 and ends[-1] == ends[-2] == end:
            times[-1] = at
            return
        times.append(at)
        ends.append(end)
        if len(ends) > _MOST:
            # Drop every second observation of the older half: old times may be less precise.
            del times[1 : _MOST // 2 : 2], ends[1 : _MOST // 2 : 2]

    def written_at(self, offset: int) -> float | None:
        """Estimate when the record at an offset was written; `None` if it is not written yet.

        A record from before the first observation gets the time of that one.
        """
        times, ends = self._times, self._ends
        after = bisect_right(ends, offset)
        if after == len(ends):
            return None
        if after == 0:
            return times[0]
        before = after - 1
        share = (offset + 0.5 - ends[before]) / (ends[after] - ends[before])
        return times[before] + share * (times[after] - times[before])


class Timelines:
    """The timelines of all logs of a cluster. For one task."""

    def __init__(self) -> None:
        self._by_log: dict[Log, Timeline] = {}

    def observe(self, ends: Mapping[Log, int], existing: Container[Log]) -> None:
        """Record where logs end now, and forget logs that no longer exist."""
        at = time()
        for gone in [log for log in self._by_log if log not in existing]:
            del self._by_log[gone]
        for log, end in ends.items():
            self._by_log.setdefault(log, Timeline()).observe(at, end)

    def written_at(self, log: Log, offset: int) -> float | None:
        """Estimate when the record at an offset was written; `None` if unknown."""
        timeline = self._by_log[log]
        return timeline.written_at(offset) if timeline.has_times else None
