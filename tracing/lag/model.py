"""Results of a sweep over a cluster: immutable, so that any thread may read them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tracing.lag.brokers import ClusterState
    from tracing.lag.catch_up import CatchUp
    from tracing.lag.inflow import InflowShare
    from tracing.lag.retention import RetentionUse
    from tracing.lag.velocity import Velocity


class Status(StrEnum):
    """Status of a group on a partition, or on its worst partition.

    The rules are in `tracing.lag.status` and `tracing.lag.catch_up`. `catching_up` calls for
    patience, `lagging` for more or faster consumers, `stalled`
    for a look at what they are stuck on, `dead` for a restart of the consumers, and `abandoned` for
    nothing: the group has left the topic, and its old offsets may be deleted.
    """

    OK = "ok"
    """The group keeps up, or makes up for a delay."""
    CATCHING_UP = "catching_up"
    """The group works off history, which is no lag of the flow."""
    LAGGING = "lagging"
    """The group falls behind, or does not catch up."""
    STALLED = "stalled"
    """Records wait, a member has the partition, and nothing is committed."""
    DEAD = "dead"
    """Records wait, no member has the partition, and nothing is committed."""
    ABANDONED = "abandoned"
    """The group has left the topic, or its application has left the group for another one."""


SEVERITY: Final = {status: number for number, status in enumerate(Status)}
UNKNOWN: Final = "unknown"
"""The status of a group in metrics while it is not known any longer.

The cluster does not answer, or the monitor has not watched long enough to judge, such as after
partitions were added.
"""


class Cause(StrEnum):
    """Why a group is behind. The rules are in `tracing.lag.causes`."""

    NO_MEMBERS = "no_members"
    """No member reads."""
    REBALANCING = "rebalancing"
    """The group keeps distributing its partitions."""
    STALLED_COMMITS = "stalled_commits"
    """A member has the partition, and nothing is committed."""
    ONE_PARTITION = "one_partition"
    """One partition of a topic is behind, and the others are not."""
    INFLOW_ABOVE_CAPACITY = "inflow_above_capacity"
    """Records arrive as fast as the group commits, or faster."""
    REPLACED = "replaced"
    """The group has no members, and its application reads as another group."""


def worst(statuses: list[Status | None]) -> Status | None:
    """Return the worst known status; an unknown one leaves `ok` unknown as well.

    `abandoned` decides only where there is nothing else.
    """
    if statuses and all(status is Status.ABANDONED for status in statuses):
        return Status.ABANDONED
    statuses = [status for status in statuses if status is not Status.ABANDONED]
    known = [status for status in statuses if status is not None]
    most_severe = max(known, key=SEVERITY.__getitem__, default=None)
    if most_severe in {None, Status.OK} and len(known) < len(statuses):
        return None
    return Status.OK if most_severe is None else most_severe


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """Lag of a group on one partition.

    A partition without a committed offset is listed while a member is assigned to it, and if it was
    the last one, until Kafka forgets the group. Its lag then counts from the moment when the
    monitor first saw that, whatever the member's `auto_offset_reset` is.

    Attributes:
        topic: The topic.
        partition: The partition's number.
        committed: The next offset that the group will read; `None` if it has committed none.
        end: The log's end offset, which the next record will get.
        lag: Offsets from the committed one to the end, as Kafka's own tool counts them. Compaction
            gaps and transaction markers count, so there may be fewer records.
        lag_s: How long the oldest uncommitted record has waited, in seconds; 0 if there is none,
            `None` if that is not known yet.
        exact: Whether `lag_s` comes from the record itself; if not, it is estimated from the times
            at which the monitor saw the log grow.
        assigned: Whether a member of the group has the partition; `None` if unknown.
        status: `None` until the monitor has watched for long enough.
        remark: Why clients cannot read the group's next record; `None` if they can.
        topic_id: The topic's id, as Kafka's tools print it: a topic that was deleted and created
            again has another one. `None` if the brokers are older than Kafka 2.8.
        lost: Offsets from the committed one to the log's start: records that were deleted before
            the group committed them.
        retention: How much of its retention the oldest uncommitted record has used; `None` if that
            is unknown, or if the topic has no limits.
        velocity: How fast the group and the log move; `None` until the monitor has watched for half
            a window.
        inflow_share: The partition's share of its topic's inflow; `None` if unknown, if nothing
            arrives, or if the topic has one partition.
        cause: Why the group is behind on the partition; `None` if it is not, or if unknown.
        catch_up: How far a group that works off history is; `None` if it does not.
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
    topic_id: str | None = None
    lost: int = 0
    retention: RetentionUse | None = None
    velocity: Velocity | None = None
    inflow_share: InflowShare | None = None
    cause: Cause | None = None
    catch_up: CatchUp | None = None

    @property
    def flow_lag_s(self) -> float | None:
        """How late the flow is here: `lag_s`, or 0 while the group works off history."""
        return 0.0 if self.status is Status.CATCHING_UP else self.lag_s


@dataclass(frozen=True, slots=True)
class GroupLag:
    """Lag of a group.

    Attributes:
        group: The group.
        state: The state that its coordinator reports, for example `Stable` or `Empty`.
        members: Number of members; `None` if the coordinator does not report it.
        partitions: Sorted by topic and number.
        status: That of the worst partition that is not abandoned; `None` until the monitor has
            watched for long enough.
        cause: Why the group is behind; `None` if it is not, or if unknown.
        replaced_by: The group as which its application reads now; `None` if there is none. The
            rules are in `tracing.lag.successors`.
    """

    group: str
    state: str
    members: int | None
    partitions: tuple[PartitionLag, ...]
    status: Status | None
    cause: Cause | None = None
    replaced_by: str | None = None

    @property
    def current(self) -> tuple[PartitionLag, ...]:
        """The partitions that the group has not abandoned."""
        return tuple(part for part in self.partitions if part.status is not Status.ABANDONED)

    @property
    def abandoned(self) -> tuple[PartitionLag, ...]:
        """The partitions that the group has abandoned."""
        return tuple(part for part in self.partitions if part.status is Status.ABANDONED)

    @property
    def lag(self) -> int:
        """Number of uncommitted offsets, of all partitions that are not abandoned."""
        return sum(part.lag for part in self.current)

    @property
    def lag_s(self) -> float | None:
        """How long the oldest uncommitted record has waited, in seconds; `None` if unknown.

        Abandoned partitions do not count, nor do those on which the group works off history.
        """
        return longest([part.flow_lag_s for part in self.current])


@dataclass(frozen=True, slots=True)
class DeadLetterDepth:
    """Contents of a dead-letter topic.

    Attributes:
        topic: The dead-letter topic.
        destination: The topic that the oldest dead letter came from; if unknown, the name of the
            dead-letter topic.
        group: The group that gave the oldest dead letter up; `None` if unknown.
        depth: Offsets from the log's start to its end, of all partitions.
        oldest_s: Seconds since the oldest dead letter was written; 0 if there is none, `None` if
            unknown.
        remark: Which dead letters cannot be read, and why; `None` if the oldest ones can.
    """

    topic: str
    destination: str
    group: str | None
    depth: int
    oldest_s: float | None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class CommandTopic:
    """A topic of commands, which are instructions to one receiver.

    Attributes:
        topic: The topic.
        groups: The groups that read it now, sorted by name: those with a member that has one of its
            partitions. Of several groups, each carries out every command.
    """

    topic: str
    groups: tuple[str, ...]

    @property
    def remark(self) -> str | None:
        """What is wrong with its readers, as a sentence; `None` if it has at most one."""
        if len(self.groups) <= 1:
            return None
        return (
            f"commands in {self.topic} are read by {len(self.groups)} groups, and each carries "
            f"them out: {', '.join(self.groups)}"
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """The result of one sweep.

    Attributes:
        at: When it began, unix seconds.
        took_s: Its duration, in seconds.
        groups: All groups with at least one partition, sorted by name.
        dead_letters: All dead-letter topics, sorted by name.
        missing_rights: What the cluster does not allow, for example `Read on topic orders`.
        unanswered: What the cluster did not answer in this sweep, and why.
        clock_skews: Number of records from the future, by this machine's clock; they count as
            waiting for 0 seconds.
        unknown_retention: The rights and answers without which some figures of retention are
            unknown, for example `DescribeConfigs on topic orders`.
        commands: The topics of commands that some group reads now, sorted by name.
        cluster: The cluster itself; `None` where nothing is known.
        silent: The groups of earlier sweeps about which the cluster did not answer in this one,
            sorted by name.
    """

    at: float
    took_s: float
    groups: tuple[GroupLag, ...] = ()
    dead_letters: tuple[DeadLetterDepth, ...] = ()
    missing_rights: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    clock_skews: int = 0
    unknown_retention: tuple[str, ...] = ()
    commands: tuple[CommandTopic, ...] = ()
    cluster: ClusterState | None = None
    silent: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What needs a look: unreadable records, commands read twice, groups left behind."""
        return (
            *(topic.remark for topic in self.commands if topic.remark is not None),
            *(
                f"group {group.group} has no members, and its application reads as "
                f"{group.replaced_by} now: delete the group if that is meant to stay"
                for group in self.groups
                if group.replaced_by is not None
            ),
            *(
                f"group {group.group} on {part.topic}[{part.partition}]: {part.remark}"
                for group in self.groups
                for part in group.partitions
                if part.remark is not None
            ),
            *(
                f"dead letter {topic.remark}"
                for topic in self.dead_letters
                if topic.remark is not None
            ),
        )


def readers_of_commands(
    groups: Iterable[GroupLag], is_command: Callable[[str], bool]
) -> tuple[CommandTopic, ...]:
    """Return the topics of commands that some group reads now, with these groups."""
    readers: dict[str, set[str]] = {}
    for group in groups:
        for part in group.current:
            if part.assigned is not False and is_command(part.topic):
                readers.setdefault(part.topic, set()).add(group.group)
    return tuple(CommandTopic(topic, tuple(sorted(readers[topic]))) for topic in sorted(readers))


def longest(seconds: list[float | None]) -> float | None:
    """Return the longest known time; `None` if some are unknown and no known one is above 0."""
    known = [each for each in seconds if each is not None]
    if len(known) < len(seconds) and not any(known):
        return None
    return max(known, default=0.0)
