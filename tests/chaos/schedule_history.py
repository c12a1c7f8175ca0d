"""Record the events of a schedule, and check the rules of `consume`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.structs import TopicPartition

    Position = tuple[int, int]


class History:
    """The events of one schedule in order, and the broken rules.

    A record is resolved when its handler has returned without being cut off, or when the broker
    has acknowledged its dead letter.

    Attributes:
        problems: The broken rules, one line each.
        resolved: Offsets of resolved records, by partition.
        positions: Partition and offset of each record, by its number.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.resolved: dict[int, set[int]] = defaultdict(set)
        self.positions: dict[int, Position] = {}
        self.handled = 0
        self.dead_lettered = 0
        self._began = monotonic()
        self._lines: list[str] = []
        self._order: dict[int, list[int]] = defaultdict(list)
        self._returned: set[str] = set()
        self._cut_off: set[asyncio.Task[object]] = set()

    def note(self, actor: str, event: str) -> None:
        self._lines.append(f"{monotonic() - self._began:8.3f}  {actor:<8}  {event}")

    def problem(self, description: str) -> None:
        self.problems.append(description)
        self.note("CHECKER", description)

    def handler_started(self, loop_name: str, position: Position, action: str) -> None:
        self.note(loop_name, f"starts {_name_of(position)}: {action}")
        if loop_name in self._returned:
            self.problem(f"{loop_name} starts {_name_of(position)} after its consume() returned")
        if asyncio.current_task() in self._cut_off:
            self.problem(f"{loop_name} starts {_name_of(position)} where it had been cut off")

    def handler_succeeded(self, loop_name: str, position: Position, key: int) -> None:
        self.note(loop_name, f"handled {_name_of(position)}")
        self.handled += 1
        self._resolve(position, key)

    def handler_ended_late(self, loop_name: str, position: Position) -> None:
        self.note(loop_name, f"ends {_name_of(position)} after it was cut off")
        task = asyncio.current_task()
        if task is not None:
            self._cut_off.add(task)

    def dead_letter_acknowledged(self, loop_name: str, position: Position, key: int) -> None:
        self.note(loop_name, f"dead letter of {_name_of(position)}")
        self.dead_lettered += 1
        self._resolve(position, key)

    def dead_letter_sending(self, loop_name: str, position: Position) -> None:
        if loop_name in self._returned:
            self.problem(
                f"{loop_name} sends a dead letter of {_name_of(position)} after it returned"
            )

    def committing(self, loop_name: str, offsets: Mapping[TopicPartition, int]) -> None:
        by_partition = {tp.partition: offset for tp, offset in offsets.items()}
        self.note(loop_name, f"commits {by_partition}")
        for partition, offset in by_partition.items():
            missing = set(range(offset)) - self.resolved[partition]
            if missing:
                self.problem(
                    f"{loop_name} commits {offset} of partition {partition}, "
                    f"but {sorted(missing)[:5]} are not handled"
                )

    def returned(self, loop_name: str, outcome: str) -> None:
        self.note(loop_name, f"consume() ends: {outcome}")
        self._returned.add(loop_name)

    def unresolved(self) -> list[int]:
        return [
            number
            for number, (partition, offset) in self.positions.items()
            if offset not in self.resolved[partition]
        ]

    def check_order(self) -> None:
        for key, offsets in self._order.items():
            if offsets != sorted(offsets):
                self.problem(f"records of key {key} were first handled in the order {offsets}")

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def _resolve(self, position: Position, key: int) -> None:
        partition, offset = position
        if offset not in self.resolved[partition]:
            self.resolved[partition].add(offset)
            self._order[key].append(offset)


def _name_of(position: Position) -> str:
    return f"p{position[0]}@{position[1]}"
