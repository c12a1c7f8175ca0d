"""Report sweeps as gauges."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.lag.group_status import GroupStatuses
from tracing.lag.model import Cause, Status, longest
from tracing.lag.outlook_series import OutlookSeries
from tracing.metrics import catalog
from tracing.metrics.series import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tracing.lag.model import GroupLag, PartitionLag, Sweep
    from tracing.metrics.instruments import Metrics, Readings
    from tracing.metrics.metric import Labels

_REASON: Final = "lag_series"
_SKEW: Final = "lag"

_LABELS: Final = (semconv.GROUP, semconv.DESTINATION, semconv.PARTITION)

_WITHOUT_ANSWER: Final = frozenset({catalog.CLUSTER_REACHABLE.name, catalog.CONSUMER_STATUS.name})
"""What is reported although no broker answers."""

_Series = tuple["Labels", float]
_Row = tuple[tuple[str, ...], int, float | None]
"""Label values, lag in records, and lag in seconds."""


class LagGauges:
    """The gauges of one monitor.

    Series of deleted groups and topics are no longer reported, nor is anything once the last sweep
    is too old. Beyond `max_series`, only the most urgent series are kept: one series sums up the
    others, which count in `pipeline.telemetry.dropped`.

    Thread and task safety: the collecting thread reads one dictionary that is never changed.
    """

    def __init__(self, metrics: Metrics, *, partitions: bool, max_series: int) -> None:
        self._metrics = metrics
        self._partitions = partitions
        self._max_series = max_series
        self._outlook = OutlookSeries(partitions=partitions, max_series=max_series)
        self._statuses = GroupStatuses()
        self._shown: dict[str, list[_Series]] = {}
        self._valid_until = self._unreachable_until = 0.0
        self._ends: list[Callable[[], None]] = []
        self._skews = metrics.count(catalog.CLOCK_SKEW, {semconv.REASON: _SKEW})
        self._leader_changes = metrics.count(catalog.CLUSTER_LEADER_CHANGES, {})
        self._dropped = metrics.count(catalog.TELEMETRY_DROPPED, {semconv.REASON: _REASON})

    def start(self) -> None:
        """Start to report."""
        for metric in (
            catalog.CONSUMER_LAG,
            catalog.CONSUMER_LAG_TIME,
            catalog.CONSUMER_STATUS,
            catalog.CONSUMER_ABANDONED,
            catalog.CONSUMER_CAUSE,
            catalog.CONSUMER_CATCH_UP_TIME,
            catalog.CONSUMER_RETENTION_USED,
            catalog.CONSUMER_RETENTION_LEFT,
            catalog.CONSUMER_LOST,
            catalog.CONSUMER_COMMITTED,
            catalog.CONSUMER_REWOUND,
            catalog.COMMAND_READERS,
            catalog.DEAD_LETTERS_DEPTH,
            catalog.DEAD_LETTERS_OLDEST_AGE,
            catalog.CLUSTER_REACHABLE,
            catalog.CLUSTER_BROKERS,
            catalog.CLUSTER_UNDER_REPLICATED,
            catalog.CLUSTER_OFFLINE,
        ):
            self._ends.append(
                self._metrics.observe(
                    metric,
                    self._readings(metric.name),
                    max_series=self._max_series * max(len(Status) + 1, len(Cause)),
                )
            )

    def end(self) -> None:
        """Stop reporting."""
        while self._ends:
            self._ends.pop()()

    def show(self, sweep: Sweep, *, valid_s: float) -> None:
        """Report a sweep, for at most `valid_s` seconds."""
        self._skews.value += sweep.clock_skews
        lag, lag_time = self._lag_series(sweep)
        depth, oldest = _dead_letter_series(sweep)
        self._shown = {
            catalog.CONSUMER_LAG.name: lag,
            catalog.CONSUMER_LAG_TIME.name: lag_time,
            catalog.CONSUMER_STATUS.name: self._statuses.of(sweep, valid_s=valid_s),
            catalog.CONSUMER_ABANDONED.name: self._abandoned_series(sweep),
            catalog.COMMAND_READERS.name: [
                ({semconv.DESTINATION: each.topic}, float(len(each.groups)))
                for each in sweep.commands
            ],
            catalog.DEAD_LETTERS_DEPTH.name: depth,
            catalog.DEAD_LETTERS_OLDEST_AGE.name: oldest,
            **_cluster_series(sweep),
            **self._outlook.of(sweep),
        }
        if sweep.cluster is not None:
            self._leader_changes.value += sweep.cluster.leader_changes
        self._valid_until = monotonic() + valid_s

    def unreachable(self, *, valid_s: float) -> None:
        """Report that no broker answered a sweep, for at most `valid_s` seconds.

        What an earlier sweep found is reported as long as it is valid. After that, the status of
        each group is unknown, so that a dashboard does not go on to show the last one.
        """
        earlier = self._shown if monotonic() < self._valid_until else {}
        self._shown = {
            **earlier,
            catalog.CONSUMER_STATUS.name: self._statuses.unanswered(),
            catalog.CLUSTER_REACHABLE.name: [({}, 0.0)],
        }
        self._unreachable_until = monotonic() + valid_s

    def _readings(self, name: str) -> Readings:
        def read() -> Iterable[_Series]:
            until = self._valid_until
            if name in _WITHOUT_ANSWER:
                until = max(until, self._unreachable_until)
            return self._shown.get(name, ()) if monotonic() < until else ()

        return read

    def _lag_series(self, sweep: Sweep) -> tuple[list[_Series], list[_Series]]:
        rows = [
            row
            for group in sweep.groups
            for row in (
                _by_partition(group) if self._partitions else _by_topic(group, group.current)
            )
        ]
        labelled = self._labelled(rows)
        return (
            [(labels, float(lag)) for labels, lag, _ in labelled],
            [(labels, lag_s) for labels, _, lag_s in labelled if lag_s is not None],
        )

    def _abandoned_series(self, sweep: Sweep) -> list[_Series]:
        rows = [row for group in sweep.groups for row in _by_topic(group, group.abandoned)]
        return [(labels, float(lag)) for labels, lag, _ in self._labelled(rows)]

    def _labelled(self, rows: list[_Row]) -> list[tuple[Labels, int, float | None]]:
        """Return rows with labels; of too many, the most urgent ones and the sum of the rest."""
        if len(rows) > self._max_series:
            rows.sort(key=lambda row: (row[2] or 0.0, row[1]), reverse=True)
            rest = rows[self._max_series :]
            rows[self._max_series :] = [
                ((OTHER, OTHER), sum(row[1] for row in rest), longest([row[2] for row in rest]))
            ]
            self._dropped.value += len(rest)
        # Only the kept rows get labels: there may be many more.
        return [(dict(zip(_LABELS, key, strict=False)), lag, lag_s) for key, lag, lag_s in rows]


def _by_partition(group: GroupLag) -> Iterable[_Row]:
    for part in group.current:
        yield (group.group, part.topic, str(part.partition)), part.lag, part.flow_lag_s


def _by_topic(group: GroupLag, partitions: Iterable[PartitionLag]) -> Iterable[_Row]:
    topics: dict[str, list[PartitionLag]] = {}
    for part in partitions:
        topics.setdefault(part.topic, []).append(part)
    for topic, parts in topics.items():
        lag_s = longest([part.flow_lag_s for part in parts])
        yield (group.group, topic), sum(part.lag for part in parts), lag_s


def _cluster_series(sweep: Sweep) -> dict[str, list[_Series]]:
    state = sweep.cluster
    values = {catalog.CLUSTER_REACHABLE.name: 1.0} | (
        {
            catalog.CLUSTER_BROKERS.name: state.brokers,
            catalog.CLUSTER_UNDER_REPLICATED.name: state.under_replicated,
            catalog.CLUSTER_OFFLINE.name: state.offline,
        }
        if state is not None
        else {}
    )
    return {name: [({}, float(value))] for name, value in values.items() if value is not None}


def _dead_letter_series(sweep: Sweep) -> tuple[list[_Series], list[_Series]]:
    depths: dict[tuple[str, str | None], float] = {}
    ages: dict[tuple[str, str | None], list[float | None]] = {}
    # Several topics can hold the dead letters of one group.
    for topic in sweep.dead_letters:
        key = (topic.destination, topic.group)
        depths[key] = depths.get(key, 0) + topic.depth
        ages.setdefault(key, []).append(topic.oldest_s)
    depth = [(_labels(*key), records) for key, records in depths.items()]
    oldest = [(_labels(*key), longest(seconds)) for key, seconds in ages.items()]
    return depth, [(labels, seconds) for labels, seconds in oldest if seconds is not None]


def _labels(destination: str, group: str | None) -> Labels:
    labels = {semconv.DESTINATION: destination}
    return labels if group is None else {**labels, semconv.GROUP: group}
