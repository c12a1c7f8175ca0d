"""Records that were deleted before a group committed them: its log starts after its offset."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from tracing.lag.oldest import Place

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.kafka.groups import Group, Groups


class Losses:
    """Finds losses in the answers of a sweep. For one task.

    A sweep reads commits first and the starts of logs later. A group that commits in between, and
    whose records are then deleted, has lost nothing. So new losses are checked against a second
    answer. Nor has one lost anything if an earlier sweep saw that what is deleted now held no
    records, as the marker of a transaction does not.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._confirmed: dict[tuple[str, TopicPartition], _Gap] = {}
        self._empty: dict[tuple[str, TopicPartition], _Empty] = {}

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
        return {
            key: lost
            for key, gap in self._confirmed.items()
            if (lost := gap.start - max(gap.committed, self._empty_until(key, gap.committed))) > 0
        }

    def note_empty(
        self,
        committed: Iterable[tuple[Group, Mapping[TopicPartition, int]]],
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        empty: Container[Place],
    ) -> None:
        """Remember where no record waits, although the log goes on behind the committed offset.

        Args:
            committed: Groups and their committed offsets.
            starts: The starts of logs.
            ends: The ends of logs.
            empty: The places from which on there is no record up to the end.
        """
        found = {}
        for group, offsets in committed:
            for tp, offset in offsets.items():
                key = group.name, tp
                until = max(offset, self._empty_until(key, offset))
                start = starts.get(tp, 0)
                if start <= until and Place(tp, max(offset, start)) in empty:
                    until = ends[tp]
                if until > offset:
                    found[key] = _Empty(offset, until)
        self._empty = found

    def _empty_until(self, key: tuple[str, TopicPartition], committed: int) -> int:
        empty = self._empty.get(key)
        return empty.until if empty is not None and empty.committed == committed else 0

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


class _Empty(NamedTuple):
    committed: int
    until: int
