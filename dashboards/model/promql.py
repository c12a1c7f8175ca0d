"""PromQL built from the catalogue of metrics, for dashboards with variables and for rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dashboards.durations import seconds_of
from dashboards.model.counting import (
    added,
    added_natively,
    fallen,
    last_before,
    last_of,
    nearly_added,
    new_values,
    shared,
)
from dashboards.model.labels import BOUND, PIPELINE, SAGA
from dashboards.model.selection import Selection
from dashboards.model.series import bucket_of, labels_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dashboards.config import Config
    from tracing.metrics.metric import Metric

RATE_INTERVAL: Final = "$__rate_interval"
"""Grafana's window for rates: at least four points at any resolution."""
INTERVAL: Final = "$interval"
"""The window that users choose for single numbers."""
STEP: Final = "$__interval"
"""Grafana's distance of two points: windows of that length neither overlap nor leave gaps."""
ALL: Final = ".*"
BUCKET: Final = "bucket"
"""The part of a histogram that has its distribution."""

LEAST_WAIT_S: Final = 120
"""How long a condition on single samples must hold at least: two of them have to agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope(Selection):
    """The series and the window that queries use.

    Attributes:
        window: The window of rates, such as `5m`.
        export_s: The interval at which services export metrics, in seconds.
        fresh: Whether samples of gauges count only until the next one is overdue, instead of for
            Prometheus' five minutes. A condition that must hold for `wait` then does not hold that
            long by the last sample of a process that has ended.
    """

    window: str = RATE_INTERVAL
    export_s: int = 60
    fresh: bool = False

    @classmethod
    def of(
        cls, config: Config, *, window: str = RATE_INTERVAL, variables: Sequence[str] = ()
    ) -> Scope:
        """Return the scope of a dashboard, or of a rule, which has no variables."""
        chosen = {PIPELINE: any_of(config.pipelines), SAGA: any_of(config.sagas)}
        return cls(
            window=window,
            variables=frozenset(variables),
            selector=config.selector,
            only={label: pattern for label, pattern in chosen.items() if pattern != ALL},
            ruleset=config.prefix if config.recording_rules else "",
            export_s=seconds_of(config.min_step),
            native=config.native_histograms,
        )

    @property
    def wait(self) -> str:
        """How long a condition must hold until two exports in a row confirm it."""
        return f"{self._wait_s // 60}m"

    @property
    def _wait_s(self) -> int:
        whole_minutes = -(-2 * self.export_s // 60) * 60
        return max(LEAST_WAIT_S, whole_minutes)

    def rate(self, metric: Metric, *where: str, by: Sequence[str] = (), part: str = "") -> str:
        """Return the rate per second, summed over all other labels, new series included."""
        # A duration is a number of seconds, also as a dashboard variable.
        return f"({self.increase(metric, *where, by=by, part=part)} / {self.window})"

    def increase(
        self,
        metric: Metric,
        *where: str,
        by: Sequence[str] = (),
        part: str = "",
        among: Collection[str] | None = None,
        exact: bool = True,
        together: str = "sum",
    ) -> str:
        """Return the increase in the window, new series included.

        It is exact unless a process restarts as the same series: see `counting`.

        Args:
            metric: The counter or histogram.
            where: More matchers.
            by: The labels to keep.
            part: `bucket`, `sum` or `count` of a histogram.
            among: The labels that variables may filter; by default all that the metric has.
            exact: Whether not to extrapolate. Buckets of classic histograms are thousands of
                series, and to extrapolate costs a fraction.
            together: How to aggregate over all other labels: `max` if processes count the same.
        """
        if exact or self.native:
            return self._increase(metric, where, by=by, part=part, among=among, together=together)
        series = self.select(metric, *where, part=part, among=among)
        counts = self.select(metric, *where, part="count", among=among)
        return self._total(part, by, nearly_added(series, self.window, counts), together)

    def _increase(
        self,
        metric: Metric,
        where: Sequence[str],
        *,
        by: Sequence[str],
        part: str,
        bucket: Sequence[str] = (),
        among: Collection[str] | None = None,
        together: str = "sum",
    ) -> str:
        """Return the increase; of a part of a histogram, that of the matched `bucket`."""
        series = self.select(metric, *where, *bucket, part=part, among=among)
        if self.native and part:
            whole = added_natively(series, self.window)
        else:
            counts = self.select(metric, *where, part="count", among=among) if part else ""
            whole = added(series, self.window, counts, buckets=part == BUCKET)
        return self._total(part, by, whole, together)

    def _total(self, part: str, by: Sequence[str], values: str, together: str) -> str:
        """Aggregate what series have added; of a native histogram, return the part."""
        if not (self.native and part):
            return aggregate(together, by, values)
        total = aggregate(together, [label for label in by if label != BOUND], values)
        return total if part == BUCKET else f"histogram_{part}({total})"

    def increase_up_to(
        self, bound: float, metric: Metric, *where: str, by: Sequence[str] = ()
    ) -> str:
        """Return how many values of a histogram up to a bound were added in the window.

        Args:
            bound: One of the bounds of its buckets.
            metric: The histogram.
            where: More matchers.
            by: The labels to keep.
        """
        if not self.native:
            bucket = (bucket_of(bound),)
            return self._increase(metric, where, by=by, part=BUCKET, bucket=bucket)
        values = self.increase(metric, *where, by=by, part=BUCKET)
        # Without values there is no share of them.
        share = f"(histogram_fraction(-Inf, {bound:g}, {values}) >= 0)"
        last = last_of(self.select(metric, *where), self.window)
        none = f"0 * histogram_count({aggregate('sum', by, last)})"
        return f"({share} * histogram_count({values}) or {none})"

    def shared_increase(self, metric: Metric, *where: str, by: Sequence[str]) -> str:
        """Return the increase in the window of a counter with which all processes count the same.

        Args:
            metric: The counter.
            where: More matchers.
            by: The labels to keep.
        """
        series, window = self.select(metric, *where), self.window
        now = aggregate("max", by, f"last_over_time({series}[5m])")
        before = aggregate("max", by, last_before(series, window))
        highest = aggregate("max", by, f"max_over_time({series}[{window}])")
        alone = (
            aggregate("max", by, fallen(series, window)),
            f"{aggregate('min', by, new_values(series, window))} < {before}",
            f"{now} < {before}",
            f"{now} < {highest}",
        )
        return shared(
            by_process=self.increase(metric, *where, by=by, together="max"),
            alone=alone,
            highest=highest,
            before=before,
            lowest=aggregate("min", by, f"min_over_time({series}[{window}])"),
        )

    def stored_increase(
        self,
        metric: Metric,
        *where: str,
        by: Sequence[str],
        opened: str = "",
        opened_by: Sequence[str] = (),
    ) -> str:
        """Return the increase in the window of a counter that is always read from a store.

        All processes report the same total, which no restart resets, so it is the highest value in
        the window minus the last one before it. To a new Prometheus, what an old store has counted
        is not new. Of a total that falls, only what is above it counts, until the window is over.

        Args:
            metric: The counter.
            where: More matchers.
            by: The labels to keep.
            opened: A matcher for a series that is there before the others have a first value:
                what begins after it began at 0.
            opened_by: The labels that such a series shares with the others.
        """
        series, window = self.select(metric, *where), self.window
        highest = aggregate("max", by, f"max_over_time({series}[{window}])")
        # What a process reported that ended long before the window may have fallen since.
        start = [
            aggregate("max", by, f"last_over_time({series}[5m] offset {window})"),
            aggregate("max", by, last_before(series, window)),
        ]
        if opened:
            first = aggregate("group", opened_by, last_before(self.select(metric, opened), window))
            start.append(f"0 * {highest} and on ({', '.join(opened_by)}) {first}")
        start.append(aggregate("min", by, f"min_over_time({series}[{window}])"))
        return f"clamp_min({highest} - ({' or '.join(start)}), 0)"

    def quantile(self, share: float, metric: Metric, *where: str, by: Sequence[str] = ()) -> str:
        """Return a quantile of a histogram, in its unit.

        Args:
            share: The quantile, such as 0.95.
            metric: The histogram.
            where: More matchers.
            by: The labels to keep.
        """
        buckets = self.increase(metric, *where, by=(BOUND, *by), part=BUCKET, exact=False)
        return f"histogram_quantile({share:g}, {buckets})"

    def mean(
        self,
        metric: Metric,
        *where: str,
        by: Sequence[str] = (),
        over: Metric | None = None,
        more: Metric | None = None,
    ) -> str:
        """Return the mean of a histogram, in its unit; nothing if there were no values.

        Sum and count are of the same records: a variable filters both or neither, so it does not
        filter by a label that one of the metrics lacks.

        Args:
            metric: The histogram.
            where: More matchers; of another metric, those whose label it has.
            by: The labels to keep.
            over: Another histogram whose count to divide by.
            more: A histogram whose values are added to those of some; it may have none.
        """
        over = over or metric
        among = labels_of(metric) & labels_of(over)
        if more is not None:
            among &= labels_of(more)
        total = self.increase(metric, *where, by=by, part="sum", among=among)
        if more is not None:
            added_to = self.increase(more, *_known(more, where), by=by, part="sum", among=among)
            total = f"({total} + {added_to} or {total})"
        count = self.increase(over, *_known(over, where), by=by, part="count", among=among)
        return f"{total} / ({count} > 0)"

    def highest(self, metric: Metric, *where: str, by: Sequence[str] = ()) -> str:
        """Return a gauge's highest value that any living process reports."""
        return aggregate("max", by, self.alive(self.select(metric, *where)))

    def newest(
        self,
        metric: Metric,
        *where: str,
        of: Sequence[str],
        by: Sequence[str] = (),
        beside: Metric | None = None,
        how: str = "max",
    ) -> str:
        """Return a gauge that several processes read from one store: the newest sample decides.

        A process that has ended counts for minutes. What its successor reads is right, also where
        it is lower, and where it is nothing.

        Args:
            metric: The gauge.
            where: More matchers.
            of: The labels of what one process reports as a whole, such as the sagas of a name.
            by: The labels to keep.
            beside: A gauge that a process reports at the same time, also while it has no value of
                this one.
            how: How to aggregate what one process reports.
        """
        series = self.select(metric, *where)
        times = f"timestamp({series})"
        reported = f"timestamp({self.select(beside)}) or {times}" if beside else times
        latest = f"{times} == on ({', '.join(of)}) group_left () " + aggregate("max", of, reported)
        if self.fresh:
            latest = f"({latest}) > {self._overdue_before}"
        return aggregate(how, by, f"{series} and {latest}")

    def alive(self, series: str) -> str:
        """Return the series of processes that still report: what one has ended counts no more."""
        return f"({series} and timestamp({series}) > {self._overdue_before})"

    @property
    def _overdue_before(self) -> str:
        """The time before which an export is too old: the next one is overdue.

        As late as an alert's wait allows: exports are delayed, and clocks differ.
        """
        return f"time() - {self._wait_s - 5}"


def _known(metric: Metric, where: Sequence[str]) -> list[str]:
    """Return the matchers for labels that a metric has."""
    labels = labels_of(metric)
    return [matcher for matcher in where if re.split("[=!]", matcher)[0] in labels]


def aggregate(how: str, by: Sequence[str], inner: str) -> str:
    """Aggregate series by labels, or all into one."""
    return f"{how} by ({', '.join(by)}) ({inner})" if by else f"{how}({inner})"


def any_of(names: Sequence[str]) -> str:
    """Return a regular expression that matches the names, or everything if there are none."""
    return "|".join(name.replace(".", "[.]") for name in names) or ALL
