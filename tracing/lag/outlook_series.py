"""Series of a sweep about commits and what comes next: losses, catching up, causes of lag."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from tracing.core import semconv
from tracing.lag.counters import LossCounter, RewindCounter
from tracing.lag.model import Cause, Status
from tracing.lag.retention import worst_use
from tracing.metrics import catalog
from tracing.metrics.series import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tracing.lag.model import PartitionLag, Sweep
    from tracing.metrics.metric import Labels

    Series = tuple[Labels, float]

# OpenTelemetry has no infinite values, and a missing one would leave `max` with that of a partition
# which does catch up.
_NEVER_S: Final = 365 * 86_400.0
_LABELS: Final = (semconv.GROUP, semconv.DESTINATION, semconv.PARTITION)


class _Row(NamedTuple):
    key: tuple[str, ...]
    used: float | None
    left_s: float | None
    catch_up_s: float | None


class OutlookSeries:
    """Makes the series of one monitor. For one task.

    Args:
        partitions: Whether each partition has a series, instead of each topic.
        max_series: Largest number of series of a metric. The others share one, with the worst of
            their values.
    """

    def __init__(self, *, partitions: bool, max_series: int) -> None:
        self._partitions = partitions
        self._max_series = max_series
        self._losses = LossCounter(partitions=partitions, max_series=max_series)
        self._rewinds = RewindCounter(partitions=partitions, max_series=max_series)

    def of(self, sweep: Sweep) -> Mapping[str, list[Series]]:
        """Return the series of a sweep by the name of the metric."""
        rows = [_row(key, parts) for key, parts in self._parts_by_key(sweep).items()]
        if len(rows) > self._max_series:
            rows.sort(key=lambda row: (row.used or 0.0, row.catch_up_s or 0.0), reverse=True)
            rows[self._max_series :] = [_worst(rows[self._max_series :])]
        return {
            catalog.CONSUMER_RETENTION_USED.name: _series((row.key, row.used) for row in rows),
            catalog.CONSUMER_RETENTION_LEFT.name: _series((row.key, row.left_s) for row in rows),
            catalog.CONSUMER_CATCH_UP_TIME.name: _series((row.key, row.catch_up_s) for row in rows),
            catalog.CONSUMER_LOST.name: _series(self._losses.count(sweep)),
            catalog.CONSUMER_REWOUND.name: _series(self._rewinds.count(sweep)),
            catalog.CONSUMER_COMMITTED.name: _series(self._committed(sweep)),
            catalog.CONSUMER_CAUSE.name: [
                (
                    {semconv.GROUP: group.group, semconv.CAUSE_LABEL: cause.value},
                    float(group.cause is cause),
                )
                for group in sweep.groups
                for cause in Cause
            ],
        }

    def _committed(self, sweep: Sweep) -> Iterable[tuple[tuple[str, ...], int | None]]:
        # Offsets of several partitions have no sum that a new partition would not change.
        places = (
            ((group.group, part.topic, str(part.partition)), part.committed)
            for group in sweep.groups
            for part in group.current
        )
        return islice(places, self._max_series) if self._partitions else ()

    def _parts_by_key(self, sweep: Sweep) -> Mapping[tuple[str, ...], list[PartitionLag]]:
        parts: dict[tuple[str, ...], list[PartitionLag]] = {}
        for group in sweep.groups:
            for part in group.current:
                key: tuple[str, ...] = (group.group, part.topic)
                if self._partitions:
                    key = (*key, str(part.partition))
                parts.setdefault(key, []).append(part)
        return parts


def _row(key: tuple[str, ...], parts: Sequence[PartitionLag]) -> _Row:
    # History begins where the log does: that the broker deletes it next is no news.
    use = worst_use(part.retention for part in parts if part.status is not Status.CATCHING_UP)
    catch_up_s = max(
        (min(part.velocity.catch_up_s, _NEVER_S) for part in parts if part.velocity is not None),
        default=None,
    )
    if use is None:
        return _Row(key, None, None, catch_up_s)
    return _Row(key, use.used, use.left_s, catch_up_s)


def _worst(rows: Sequence[_Row]) -> _Row:
    return _Row(
        (OTHER, OTHER),
        max((row.used for row in rows if row.used is not None), default=None),
        min((row.left_s for row in rows if row.left_s is not None), default=None),
        max((row.catch_up_s for row in rows if row.catch_up_s is not None), default=None),
    )


def _series(values: Iterable[tuple[tuple[str, ...], float | None]]) -> list[Series]:
    return [
        (dict(zip(_LABELS, key, strict=False)), float(value))
        for key, value in values
        if value is not None
    ]
