"""A sweep over a cluster: committed offsets, ends of logs, and waiting records."""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

from tracing.kafka.cluster import EARLIEST, LATEST
from tracing.kafka.groups import Groups
from tracing.lag.brokers import Brokers
from tracing.lag.catch_up import Births, CatchUps, Seen, catch_up
from tracing.lag.causes import Rebalances, cause_of, partition_cause
from tracing.lag.depth import depths
from tracing.lag.inflow import Inflows
from tracing.lag.losses import Losses
from tracing.lag.model import Cause, GroupLag, PartitionLag, Sweep, readers_of_commands, worst
from tracing.lag.oldest import OldestReader, Place, RememberingReader
from tracing.lag.retention import Retentions
from tracing.lag.silent import GroupRemarks, SilentGroups
from tracing.lag.status import History, Sample, with_history
from tracing.lag.successors import Reader, Successors
from tracing.lag.timeline import Timelines
from tracing.lag.uncommitted import Uncommitted
from tracing.lag.velocity import Point, Velocities

if TYPE_CHECKING:
    from aiokafka.structs import TopicPartition

    from tracing.kafka.cluster import Cluster
    from tracing.kafka.groups import Group
    from tracing.kafka.topic_ids import Log
    from tracing.lag.batches import First
    from tracing.lag.choice import Choice
    from tracing.lag.inflow import InflowShare


class _Commits(NamedTuple):
    group: Group
    at: float
    offsets: dict[TopicPartition, int]
    uncommitted: frozenset[TopicPartition]
    """Partitions that it reads, or read with its last member, without a committed offset."""
    until: dict[TopicPartition, int]
    """The ends of the histories on which it was at work when it committed."""

    @property
    def topics(self) -> frozenset[str]:
        """The topics that it reads, or read with its last member."""
        return frozenset(tp.topic for tp in (*self.offsets, *self.uncommitted))


class _Logs(NamedTuple):
    ends: dict[TopicPartition, int]
    starts: dict[TopicPartition, int]
    oldest: dict[Place, First | None]
    shares: dict[Log, InflowShare]
    lost: dict[tuple[str, TopicPartition], int]

    def place(self, tp: TopicPartition, committed: int) -> Place:
        """Return where the oldest uncommitted record is; retention may have deleted some."""
        return Place(tp, max(committed, self.starts.get(tp, 0)))


class Sweeper:
    """Sweeps, and remembers samples from sweep to sweep. For one task."""

    def __init__(self, cluster: Cluster, choice: Choice, window_s: float) -> None:
        self._cluster = cluster
        self._groups = Groups(cluster)
        self._choice = choice
        self._window_s = window_s
        self._history = History(window_s)
        self._reader = RememberingReader(OldestReader(cluster), cluster.log)
        self._timelines = Timelines()
        self._velocities = Velocities(window_s)
        self._inflows = Inflows(window_s)
        self._rebalances = Rebalances(window_s)
        self._retentions = Retentions(cluster)
        self._losses = Losses(self._groups)
        self._uncommitted = Uncommitted()
        self._catch_ups = CatchUps()
        self._existing: frozenset[Log] = frozenset()
        self._previous: frozenset[Log] | None = None
        self._births = Births()
        self._successors = Successors()
        self._replaced: dict[str, str] = {}
        self._silent = SilentGroups()
        self._brokers = Brokers()
        self._skewed = 0

    async def sweep(self, *, until: float) -> Sweep:
        """Do one sweep.

        Args:
            until: When to stop reading records, by `time.monotonic()`.

        Raises:
            KafkaError: No broker answers.
        """
        began, started = time(), monotonic()
        self._skewed = 0
        await self._cluster.refresh(self._choice.topics)
        # Now: a broker that stops answering during the sweep is not forgotten.
        cluster = self._brokers.observe(len(self._cluster.nodes), self._cluster.replication)
        self._existing = frozenset(map(self._cluster.log, self._cluster.partitions))
        commits = await self._commits()
        about_groups = GroupRemarks.of(self._cluster.remarks)
        self._births.observe(
            began,
            frozenset(each.group.name for each in commits if each.offsets or each.group.reads),
            complete=not self._cluster.remarks.unanswered,
        )
        self._replaced = self._successors.observe(
            began,
            [Reader(each.group, each.topics) for each in commits],
            self._births.absent_at,
            complete=not self._cluster.remarks.unanswered,
        )
        dead_letters = self._dead_letters()
        logs = await self._logs(commits, dead_letters, until)
        # After all else: a broker that does not know these requests may end the connection.
        await self._retentions.refresh(_partitions(commits), logs.ends)
        groups = [group for each in commits if (group := self._group(each, logs)).partitions]
        for memory in (self._history, self._velocities, self._rebalances):
            memory.forget_before(began - self._window_s)
        self._previous = self._existing
        remarks = self._cluster.remarks
        self._catch_ups.keep(
            {
                (each.group.name, self._cluster.log(tp))
                for each in commits
                for tp in (*each.offsets, *each.uncommitted)
            }
        )
        return Sweep(
            at=began,
            took_s=monotonic() - started,
            groups=tuple(sorted(groups, key=lambda each: each.group)),
            dead_letters=depths(
                dead_letters,
                logs.starts,
                logs.ends,
                logs.oldest,
                topics={tp.topic for tp in self._cluster.partitions},
                suffix=self._choice.suffix,
                now=began,
                formats=self._choice.formats,
            ),
            missing_rights=tuple(sorted(remarks.missing_rights)),
            unanswered=tuple(sorted(remarks.unanswered)),
            clock_skews=self._skewed,
            unknown_retention=self._retentions.missing,
            commands=readers_of_commands(groups, self._choice.is_command),
            cluster=cluster,
            silent=self._silent.observe(
                {group.group for group in groups},
                {each.group.name for each in commits if each.offsets or each.uncommitted},
                about_groups,
                complete=not remarks.unanswered,
            ),
        )

    async def _commits(self) -> list[_Commits]:
        groups = await self._groups.described(self._choice.groups, self._choice.has_group)
        if not self._cluster.remarks.unanswered:
            self._uncommitted.keep({group.name for group in groups}, self._existing)
        answers = await asyncio.gather(*(self._groups.commits(group) for group in groups))
        commits = []
        for group, answer in zip(groups, answers, strict=True):
            if answer is None:
                continue
            offsets = {
                tp: offset
                for tp, offset in answer.offsets.items()
                if self._choice.has_topic(tp.topic)
            }
            uncommitted = frozenset(
                tp
                for tp in self._uncommitted.of(group, offsets)
                if self._choice.has_topic(tp.topic) and self._cluster.partition(*tp) is not None
            )
            commits.append(_Commits(group, answer.at, offsets, uncommitted, answer.until))
        return commits

    def _dead_letters(self) -> list[TopicPartition]:
        return [tp for tp in self._cluster.partitions if self._choice.has_dead_letters(tp.topic)]

    async def _logs(
        self, commits: list[_Commits], dead_letters: list[TopicPartition], until: float
    ) -> _Logs:
        uncommitted = {tp for each in commits for tp in each.uncommitted}
        topics = {tp.topic for tp in _partitions(commits)}
        # Partitions without commits show how the inflow of a topic is spread.
        asked = {tp for tp in self._cluster.partitions if tp.topic in topics} | set(dead_letters)
        ends = await self._cluster.offsets(asked, LATEST)
        observed = {self._cluster.log(tp): end for tp, end in ends.items()}
        self._timelines.observe(observed, self._existing)
        shares = self._inflows.observe(time(), observed, self._existing)
        behind = {
            tp
            for each in commits
            for tp, offset in each.offsets.items()
            if offset < ends.get(tp, 0)
        }
        starts = await self._cluster.offsets(behind | uncommitted | set(dead_letters), EARLIEST)
        committed = [(each.group, each.offsets) for each in commits]
        lost = await self._losses.find(committed, starts)
        logs = _Logs(ends, starts, {}, shares, lost)
        if not self._choice.read:
            return logs
        places = [
            logs.place(tp, offset)
            for each in commits
            for tp, offset in (
                *each.offsets.items(),
                *(
                    (tp, self._counted_from(each, tp, logs))
                    for tp in each.uncommitted & ends.keys()
                ),
            )
        ] + [Place(tp, starts[tp]) for tp in dead_letters if tp in starts]
        waiting = {
            place: ends[place.tp] for place in places if place.offset < ends.get(place.tp, 0)
        }
        oldest = await self._reader.read(waiting, until=until)
        empty = {place for place, record in oldest.items() if record is None}
        self._losses.note_empty(committed, starts, ends, empty)
        return logs._replace(oldest=oldest)

    def _counted_from(self, commits: _Commits, tp: TopicPartition, logs: _Logs) -> int:
        """Return the offset to count lag from without a commit: older records do not count."""
        log = self._cluster.log(tp)
        # A log whose id was unknown in the last sweep is not new.
        new = self._previous is not None and self._previous.isdisjoint(
            (log, log._replace(topic_id=None))
        )
        first = logs.starts.get(tp, logs.ends[tp]) if new else logs.ends[tp]
        return self._uncommitted.count_from(commits.group.name, log, first)

    def _group(self, commits: _Commits, logs: _Logs) -> GroupLag:
        group = commits.group
        rebalancing = self._rebalances.observe(group.name, commits.at, group.state)
        partitions = [
            self._partition(commits, tp, offset, logs, rebalancing=rebalancing)
            for tp, offset in commits.offsets.items()
            if tp in logs.ends
        ]
        partitions += [
            self._partition(commits, tp, None, logs, rebalancing=rebalancing)
            for tp in commits.uncommitted & logs.ends.keys()
        ]
        partitions.sort(key=lambda each: (each.topic, each.partition))
        successor = self._replaced.get(group.name)
        return GroupLag(
            group.name,
            group.state,
            group.members,
            tuple(partitions),
            worst([each.status for each in partitions]),
            cause_of(partitions) if successor is None else Cause.REPLACED,
            successor,
        )

    def _partition(
        self,
        commits: _Commits,
        tp: TopicPartition,
        committed: int | None,
        logs: _Logs,
        *,
        rebalancing: bool,
    ) -> PartitionLag:
        group, at = commits.group, commits.at
        log = self._cluster.log(tp)
        end = logs.ends[tp]
        if committed is None:
            counted_from = self._counted_from(commits, tp, logs)
        else:
            counted_from = committed
            self._uncommitted.committed(group.name, log)
        lag = max(0, end - counted_from)
        place = logs.place(tp, counted_from)
        lag_s, exact = self._waited(place, end, at, logs)
        waiting = lag > 0 and not (exact and lag_s is None)
        assigned = None if group.assigned is None else tp in group.assigned
        abandoned = True if group.name in self._replaced else group.has_abandoned(tp)
        sample = Sample(at, counted_from, end, waiting, assigned, abandoned)
        status = self._history.judge(group.name, log, sample)
        point = Point(at, counted_from, end, sample.lag)
        velocity = self._velocities.observe(group.name, log, point)
        seen = Seen(
            committed=committed,
            counted_from=counted_from,
            end=end,
            marked=commits.until.get(tp),
            lag_s=lag_s,
            absent_s=self._births.absent_s(group.name, at),
        )
        history = catch_up(self._catch_ups.until(group.name, log, seen), committed, velocity)
        status = with_history(status, history)
        return PartitionLag(
            tp.topic, tp.partition, committed, end, lag,
            0.0 if lag_s is None and not waiting else lag_s, exact, assigned, status,
            _remark(logs.oldest.get(place)), log.topic_id,
            lost=logs.lost.get((group.name, tp), 0),
            retention=self._retentions.use(
                tp, end - place.offset if waiting else 0, lag_s,
                None if velocity is None else velocity.inflow,
            ),
            velocity=velocity,
            inflow_share=logs.shares.get(log),
            cause=partition_cause(
                status, members=group.members, assigned=assigned, rebalancing=rebalancing,
                velocity=velocity,
            ) if waiting else None,
            catch_up=history,
        )  # fmt: skip

    def _waited(self, place: Place, end: int, at: float, logs: _Logs) -> tuple[float | None, bool]:
        """Return how many seconds the oldest record has waited, and whether that is exact.

        `None` means either no record, which is exact, or unknown, which is not.
        """
        if place.offset >= end:
            return None, True
        if place in logs.oldest:
            record = logs.oldest[place]
            if record is None:
                return None, True
            if record.timestamp_ms >= 0:
                written_s = record.timestamp_ms / 1000
                # The record may have been written after the group's answer, at `at`.
                self._skewed += written_s > time()
                return max(0.0, at - written_s), record.exact
        written_at = self._timelines.written_at(self._cluster.log(place.tp), place.offset)
        return None if written_at is None else max(0.0, at - written_at), False


def _partitions(commits: list[_Commits]) -> set[TopicPartition]:
    return {tp for each in commits for tp in (*each.offsets, *each.uncommitted)}


def _remark(first: First | None) -> str | None:
    if first is None or first.problem is None:
        return None
    return f"the record at offset {first.offset} cannot be read: {first.problem}"
