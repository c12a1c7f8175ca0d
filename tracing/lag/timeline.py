"""When a log reached an offset, from having looked at it now and then."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from time import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from aiokafka.structs import TopicPartition

_MOST: Final = 128


class Timeline:
    """The ends of one log at some moments, in bounded memory. For one task.

    A log's end never falls while the log lives: an end that does starts a new log.
    """

    __slots__ = ("_ends", "_times")

    def __init__(self) -> None:
        self._times = array("d")
        self._ends = array("q")

    @property
    def tells(self) -> bool:
        """Whether the log was looked at more than once; a single look tells no time."""
        return len(self._times) > 1

    def saw(self, at: float, end: int) -> None:
        """Take down where the log ended at a moment, in seconds, that is after all before."""
        times, ends = self._times, self._ends
        if ends and end < ends[-1]:
            del times[:], ends[:]
        # Of a time in which nothing came, the first and the last moment say all.
        if len(ends) > 1 and ends[-1] == ends[-2] == end:
            times[-1] = at
            return
        times.append(at)
        ends.append(end)
        if len(ends) > _MOST:
            # Half of the older half goes: long ago, times need not be as precise.
            del times[1 : _MOST // 2 : 2], ends[1 : _MOST // 2 : 2]

    def written_at(self, offset: int) -> float | None:
        """About when the record at an offset was written; `None` where it is not yet.

        Of a record that is older than the first look, the moment of that look: it was written
        before.
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
    """The timelines of all partitions of a cluster. For one task."""

    def __init__(self) -> None:
        self._by_partition: dict[TopicPartition, Timeline] = {}

    def saw(self, ends: Mapping[TopicPartition, int], existing: Container[TopicPartition]) -> None:
        """Record where logs end now, and forget partitions that no longer exist."""
        at = time()
        for gone in [tp for tp in self._by_partition if tp not in existing]:
            del self._by_partition[gone]
        for tp, end in ends.items():
            self._by_partition.setdefault(tp, Timeline()).saw(at, end)

    def written_at(self, tp: TopicPartition, offset: int) -> float | None:
        """Estimate when the record at an offset was written; `None` before the second look."""
        timeline = self._by_partition[tp]
        return timeline.written_at(offset) if timeline.tells else None
