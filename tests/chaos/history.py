"""What happened in a schedule, and what must not have happened."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.structs import TopicPartition

    Place = tuple[int, int]


class History:
    """The events of one schedule in their order, and the rules that they broke.

    A record counts as resolved when its handler has returned without having been cut off, or when
    the sending of its dead letter was acknowledged.

    Attributes:
        problems: The rules that were broken, one line each.
        resolved: Offsets of resolved records, by partition.
        places: Partition and offset of each record, by its number.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.resolved: dict[int, set[int]] = defaultdict(set)
        self.places: dict[int, Place] = {}
        self.handled = 0
        self.lettered = 0
        self._began = monotonic()
        self._lines: list[str] = []
        self._order: dict[int, list[int]] = defaultdict(list)
        self._returned: set[str] = set()
        self._cut_off: set[asyncio.Task[object]] = set()

    def note(self, who: str, what: str) -> None:
        self._lines.append(f"{monotonic() - self._began:8.3f}  {who:<8}  {what}")

    def problem(self, what: str) -> None:
        self.problems.append(what)
        self.note("CHECKER", what)

    def begins(self, life: str, place: Place, turn: str) -> None:
        self.note(life, f"begins {_named(place)}: {turn}")
        if life in self._returned:
            self.problem(f"{life} begins {_named(place)} after its consume() returned")
        if asyncio.current_task() in self._cut_off:
            self.problem(f"{life} begins {_named(place)} where it had been cut off")

    def succeeds(self, life: str, place: Place, key: int) -> None:
        self.note(life, f"handled {_named(place)}")
        self.handled += 1
        self._resolve(place, key)

    def ends_late(self, life: str, place: Place) -> None:
        self.note(life, f"ends {_named(place)} after it was cut off")
        task = asyncio.current_task()
        if task is not None:
            self._cut_off.add(task)

    def lettered_by(self, life: str, place: Place, key: int) -> None:
        self.note(life, f"dead letter of {_named(place)}")
        self.lettered += 1
        self._resolve(place, key)

    def letters(self, life: str, place: Place) -> None:
        if life in self._returned:
            self.problem(f"{life} sends a dead letter of {_named(place)} after it returned")

    def commits(self, life: str, offsets: Mapping[TopicPartition, int]) -> None:
        by_partition = {tp.partition: offset for tp, offset in offsets.items()}
        self.note(life, f"commits {by_partition}")
        for partition, offset in by_partition.items():
            missing = set(range(offset)) - self.resolved[partition]
            if missing:
                self.problem(
                    f"{life} commits {offset} of partition {partition}, but {sorted(missing)[:5]} "
                    "are not handled"
                )

    def returns(self, life: str, outcome: str) -> None:
        self.note(life, f"consume() ends: {outcome}")
        self._returned.add(life)

    def unresolved(self) -> list[int]:
        return [
            number
            for number, (partition, offset) in self.places.items()
            if offset not in self.resolved[partition]
        ]

    def check_order(self) -> None:
        for key, offsets in self._order.items():
            if offsets != sorted(offsets):
                self.problem(f"records of key {key} were first handled in the order {offsets}")

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def _resolve(self, place: Place, key: int) -> None:
        partition, offset = place
        if offset not in self.resolved[partition]:
            self.resolved[partition].add(offset)
            self._order[key].append(offset)


def _named(place: Place) -> str:
    return f"p{place[0]}@{place[1]}"
