"""What one sweep over a cluster found. Values that never change, so any thread may read them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """How a group does on a partition, or on its worst one.

    The rules are in `tracing.lag.status`. A state tells what to do: `lagging` needs more or faster
    consumers, `stalled` a look at what they are stuck on, `dead` somebody to start them.
    """

    OK = "ok"
    """It keeps up, or is catching up."""
    LAGGING = "lagging"
    """It falls behind, or at least does not catch up."""
    STALLED = "stalled"
    """Records wait, a member has the partition, and nothing is committed."""
    DEAD = "dead"
    """Records wait, no member has the partition, and nothing is committed."""


_SEVERITY: Final = {status: number for number, status in enumerate(Status)}


def worst(statuses: list[Status | None]) -> Status | None:
    """The worst status that is known; ok only where all are, for ignorance is not health."""
    known = [status for status in statuses if status is not None]
    found = max(known, key=_SEVERITY.__getitem__, default=None)
    if found in {None, Status.OK} and len(known) < len(statuses):
        return None
    return Status.OK if found is None else found


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far a group is behind on one partition.

    A partition on which the group has committed nothing is here only while a member is assigned
    to it; then what came since the monitor first saw that counts as not committed, whatever the
    member's `auto_offset_reset` is.

    Attributes:
        topic: The topic.
        partition: The partition's number.
        committed: The next offset that the group will read; `None` where it committed nothing.
        end: The log's end offset, which the next record will get.
        lag: Offsets from the committed one to the end, as Kafka's own tool counts them. Where
            compaction left gaps or transactions left markers, there are fewer records.
        lag_s: How long the oldest record that is not committed has waited, in seconds; 0 where
            there is none, `None` where nothing is known of it yet.
        exact: Whether `lag_s` comes from the record itself, and not from the times at which the
            monitor saw the log grow.
        assigned: Whether a member of the group has the partition; `None` where that is not known.
        status: `None` until the monitor has watched for long enough to tell.
        remark: What keeps the group from going on by itself: the next record cannot be read, and
            why; `None` where nothing does.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int
    lag_s: float | None
    exact: bool
    assigned: bool | None
    status: Status | None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class GroupLag:
    """How far a group is behind.

    Attributes:
        group: The group.
        state: What its coordinator calls it, for example `Stable` or `Empty`.
        members: How many members it has; `None` where the coordinator does not tell.
        partitions: Sorted by topic and number.
        status: That of the worst partition; `None` until the monitor can tell.
    """

    group: str
    state: str
    members: int | None
    partitions: tuple[PartitionLag, ...]
    status: Status | None

    @property
    def lag(self) -> int:
        """Offsets not committed, of all partitions."""
        return sum(found.lag for found in self.partitions)

    @property
    def lag_s(self) -> float | None:
        """Seconds for which the oldest uncommitted record has waited; `None` where unknown."""
        return longest([found.lag_s for found in self.partitions])


@dataclass(frozen=True, slots=True)
class DeadLetterDepth:
    """What lies in a dead-letter topic.

    Attributes:
        topic: The dead-letter topic.
        destination: The topic that the oldest letter came from; the dead-letter topic's own name
            where nothing tells.
        group: The group that gave the oldest letter up; `None` where nothing tells.
        depth: Offsets from the log's start to its end, of all partitions.
        oldest_s: Age of the oldest letter, in seconds, since its record was written; 0 where there
            is none, `None` where it is not known.
        remark: Which letter cannot be read, and why; `None` where the oldest ones can.
    """

    topic: str
    destination: str
    group: str | None
    depth: int
    oldest_s: float | None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one sweep found.

    Attributes:
        at: When it began, unix seconds.
        took_s: How long it took, in seconds.
        groups: All groups with something to report, sorted by name.
        dead_letters: All dead-letter topics, sorted by name.
        missing_rights: What the cluster does not allow, for example `Read on topic orders`.
        unanswered: What the cluster did not answer, this time, and why.
        clock_skews: How many records are of the future, by this machine's clock; their time is
            told as 0.
    """

    at: float
    took_s: float
    groups: tuple[GroupLag, ...] = ()
    dead_letters: tuple[DeadLetterDepth, ...] = ()
    missing_rights: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    clock_skews: int = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """What keeps groups and readers of dead letters from going on, one sentence each."""
        return (
            *(
                f"group {group.group} on {found.topic}[{found.partition}]: {found.remark}"
                for group in self.groups
                for found in group.partitions
                if found.remark is not None
            ),
            *(
                f"dead letter {found.remark}"
                for found in self.dead_letters
                if found.remark is not None
            ),
        )


def longest(seconds: list[float | None]) -> float | None:
    """The longest time; `None` where that cannot be said."""
    known = [found for found in seconds if found is not None]
    if len(known) < len(seconds) and not any(known):
        return None
    return max(known, default=0.0)
