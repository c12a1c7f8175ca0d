"""Places in a log: partitions, positions, what it holds, and where a replay starts and ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple


class LogPartition(NamedTuple):
    """A partition of a topic. It equals aiokafka's `TopicPartition`, and any tuple of the two."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


@dataclass(frozen=True, slots=True)
class Position:
    """How far one generation of a read model is in one partition.

    A view is as of the oldest `event_ms` of the partitions that it is behind in. Records that the
    consumer gave up on, or that are of no interest to it, may move no position: a partition whose
    position is at its end, or at the group's committed offset, is not behind.

    Attributes:
        next_offset: The offset of the first record that is not applied. All before it are.
        event_ms: The latest timestamp of the applied records, unix ms; -1 before the first one.
    """

    next_offset: int
    event_ms: int = -1


@dataclass(frozen=True, slots=True)
class LogRange:
    """What a partition's log holds at one moment.

    Attributes:
        begin: The offset of its oldest record; above 0 once retention has removed some.
        end: The offset that the next record will get.
    """

    begin: int
    end: int

    @property
    def records(self) -> int:
        """How many records it holds at most; a compacted log holds fewer."""
        return max(0, self.end - self.begin)

    def clamped(self, offset: int) -> int:
        """Return the nearest offset inside the range."""
        return min(max(offset, self.begin), self.end)


@dataclass(frozen=True, slots=True)
class AtOffset:
    """The same offset in every partition."""

    offset: int

    def __post_init__(self) -> None:
        """Check the offset.

        Raises:
            ValueError: It is negative.
        """
        if self.offset < 0:
            raise ValueError(f"an offset is 0 or more, not {self.offset}")

    def __str__(self) -> str:
        return f"offset {self.offset}"


@dataclass(frozen=True, slots=True)
class AtTime:
    """In every partition, the first record that is not older than a time, unix ms."""

    unix_ms: int

    def __str__(self) -> str:
        return datetime.fromtimestamp(self.unix_ms / 1000, UTC).isoformat()


Start = Literal["beginning"] | AtOffset | AtTime
"""Where a replay starts: with the oldest record, or with the first one at an offset or a time."""

End = Literal["live"] | AtOffset | AtTime
"""Where a replay ends, which is before that record; `live` is where the live consumer is."""
