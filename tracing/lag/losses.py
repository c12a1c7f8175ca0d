"""Records that were deleted before a group committed them: its log starts after its offset."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from tracing.metrics.series import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.kafka.groups import Group, Groups
    from tracing.lag.model import PartitionLag, Sweep

# A broker that does not answer for a while must not cause old losses to count again.
_REMEMBERED_S: Final = 3600.0


class Losses:
    """Finds losses in the answers of a sweep. For one task.

    A sweep reads commits first and the starts of logs later. A group that commits in between, and
    whose records are then deleted, has lost nothing. So new losses are checked against a second
    answer.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._confirmed: dict[tuple[str, TopicPartition], _Gap] = {}

    async def find(
        self,
        committed: Iterable[tuple[Group, Mapping[TopicPartition, int]]],
        starts: Mapping[TopicPartition, int],
    ) -> dict[tuple[str, TopicPartition], int]:
        """Return how many uncommitted offsets were deleted, by group and partition.

        Args:
            committed: Groups and their committed offsets.
            starts: The starts of logs, read after the offsets.
        """
        found = await asyncio.gather(
            *(self._gaps(group, offsets, starts) for group, offsets in committed)
        )
        self._confirmed = {key: gap for gaps in found for key, gap in gaps.items()}
        return {key: gap.start - gap.committed for key, gap in self._confirmed.items()}

    async def _gaps(
        self,
        group: Group,
        offsets: Mapping[TopicPartition, int],
        starts: Mapping[TopicPartition, int],
    ) -> dict[tuple[str, TopicPartition], _Gap]:
        gaps = {
            (group.name, tp): _Gap(offset, starts[tp])
            for tp, offset in offsets.items()
            if offset < starts.get(tp, 0)
        }
        new = {key for key, gap in gaps.items() if self._confirmed.get(key) != gap}
        if not new:
            return gaps
        answer = await self._groups.commits(group)
        # Without an answer, the next sweep asks again.
        again = {} if answer is None else answer.offsets
        return {
            key: gap
            for key, gap in gaps.items()
            if key not in new or again.get(key[1]) == gap.committed
        }


class _Gap(NamedTuple):
    committed: int
    start: int


class _Total:
    __slots__ = ("lost", "seen_at")

    def __init__(self) -> None:
        self.lost = 0
        self.seen_at = 0.0


class _Counted(NamedTuple):
    start: int
    topic_id: str | None
    seen_at: float

    def is_of(self, topic_id: str | None) -> bool:
        """Return whether this may be about the log of a topic with an id, which can be unknown."""
        return None in {self.topic_id, topic_id} or self.topic_id == topic_id


class LossCounter:
    """Adds up losses, each once, by series. For one task.

    A loss that exists at the monitor's start counts, too: it may have happened while no monitor
    ran.

    Args:
        partitions: Whether each partition has a series, instead of each topic.
        max_series: Largest number of series; others share one.
    """

    def __init__(self, *, partitions: bool, max_series: int) -> None:
        self._partitions = partitions
        self._max_series = max_series
        self._totals: dict[tuple[str, ...], _Total] = {}
        self._counted: dict[tuple[str, str, int], _Counted] = {}

    def count(self, sweep: Sweep) -> list[tuple[tuple[str, ...], int]]:
        """Add the losses of a sweep; return label values and totals of the series that it has."""
        now = monotonic()
        present: dict[tuple[str, ...], _Total] = {}
        for group in sweep.groups:
            for part in group.current:
                key, total = self._total(group.group, part)
                present[key] = total
                total.seen_at = now
                if part.lost and part.committed is not None:
                    total.lost += self._new(group.group, part, part.committed, now)
        self._forget_before(now - _REMEMBERED_S)
        return [(key, total.lost) for key, total in present.items()]

    def _total(self, group: str, part: PartitionLag) -> tuple[tuple[str, ...], _Total]:
        key: tuple[str, ...] = (group, part.topic)
        if self._partitions:
            key = (*key, str(part.partition))
        if key not in self._totals and len(self._totals) >= self._max_series:
            key = (OTHER, OTHER)
        return key, self._totals.setdefault(key, _Total())

    def _forget_before(self, moment: float) -> None:
        for key in [key for key, total in self._totals.items() if total.seen_at < moment]:
            del self._totals[key]
        for place in [place for place, each in self._counted.items() if each.seen_at < moment]:
            del self._counted[place]

    def _new(self, group: str, part: PartitionLag, committed: int, now: float) -> int:
        """Return how many of a partition's lost offsets have not been counted yet."""
        place = (group, part.topic, part.partition)
        start = committed + part.lost
        before = self._counted.get(place)
        if before is not None and not before.is_of(part.topic_id):
            before = None
        topic_id = part.topic_id or (None if before is None else before.topic_id)
        self._counted[place] = _Counted(start, topic_id, now)
        # Without topic ids, a log that starts earlier belongs to a new topic of the same name.
        if before is None or start < before.start:
            return part.lost
        return start - max(committed, before.start)
