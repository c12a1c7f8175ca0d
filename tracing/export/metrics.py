"""Metrics on their way to the collector, with local histograms added and losses counted."""

from __future__ import annotations

import threading
from dataclasses import replace
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
    ScopeMetrics,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tracing.core import semconv
from tracing.core.ids import in_forked_child

if TYPE_CHECKING:
    from tracing.export.account import ExportAccount
    from tracing.export.session import ExportSession
    from tracing.metrics.histograms import Aggregator, HistogramTotals
    from tracing.metrics.metric import Metric as CatalogMetric

_SCOPE = InstrumentationScope(semconv.SCOPE_NAME, semconv.SCOPE_VERSION, semconv.SCHEMA_URL)
_Key = tuple[str, frozenset[tuple[str, str | int]]]
# The share of the time that all readers of a provider have, one after the other: the application's
# own reader needs some of it.
_SHARE: Final = 0.8


class AggregatedMetricExporter(MetricExporter):
    """Wraps a metric exporter, and adds an aggregator's histograms to each export.

    Points have the temporality that the wrapped exporter prefers for histograms; the smallest and
    largest value of a delta are those of its interval. What views or other settings ask of a
    histogram, the SDK does itself (`tracing.export.sdk_settings`). One metric reader calls it, as
    with all exporters.

    Args:
        exporter: The wrapped exporter.
        aggregator: The aggregator of the same service's telemetry.
        account: Counts cost and losses.
        session: The exporter's session, where it reads the collector's answers.
    """

    def __init__(
        self,
        exporter: MetricExporter,
        aggregator: Aggregator,
        account: ExportAccount,
        session: ExportSession | None = None,
    ) -> None:
        # A reader takes these two from its exporter.
        preferred = getattr(exporter, "_preferred_temporality", None)
        super().__init__(preferred, getattr(exporter, "_preferred_aggregation", None))
        self._exporter = exporter
        self._aggregator = aggregator
        self._account = account
        self._session = session
        self._temporality: AggregationTemporality = (preferred or {}).get(
            HistogramInstrument, AggregationTemporality.CUMULATIVE
        )
        self._begin()
        in_forked_child(self._begin)

    def _begin(self) -> None:
        # A forked child is another service instance and counts from zero.
        self._started_ns = time_ns()
        self._exported: dict[_Key, HistogramTotals] = {}

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Export the metrics and the histograms."""
        completed = self._completed(metrics_data)
        with self._account.sending("metrics", _points(completed), self._session) as succeeded:
            result = self._exporter.export(completed, timeout_millis, **kwargs)
            if result is MetricExportResult.SUCCESS:
                succeeded.append(True)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the wrapped exporter."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Shut the wrapped exporter down."""
        self._exporter.shutdown(timeout_millis, **kwargs)

    def _completed(self, data: MetricsData) -> MetricsData:
        metrics = self._metrics()
        if not metrics or not data.resource_metrics:
            return data
        first, *others = data.resource_metrics
        scopes = [
            replace(scope, metrics=[*scope.metrics, *metrics])
            if scope.scope.name == semconv.SCOPE_NAME
            else scope
            for scope in first.scope_metrics
        ]
        if not any(scope.scope.name == semconv.SCOPE_NAME for scope in scopes):
            scopes.append(ScopeMetrics(_SCOPE, metrics, semconv.SCHEMA_URL))
        return MetricsData([replace(first, scope_metrics=scopes), *others])

    def _metrics(self) -> list[Metric]:
        now = time_ns()
        metrics = []
        delta = self._temporality is AggregationTemporality.DELTA
        for metric, series in self._aggregator.totals(restart_extremes=delta).items():
            points = [
                point
                for attributes, totals in series.items()
                if (point := self._point(metric, attributes, totals, now)) is not None
            ]
            if points:
                data = Histogram(points, self._temporality)
                metrics.append(Metric(metric.name, metric.description, metric.unit, data))
        if delta:
            self._started_ns = now
        return metrics

    def _point(
        self,
        metric: CatalogMetric,
        attributes: frozenset[tuple[str, str | int]],
        totals: HistogramTotals,
        now: int,
    ) -> HistogramDataPoint | None:
        counts, total = totals.counts, totals.sum
        if self._temporality is AggregationTemporality.DELTA:
            key = (metric.name, attributes)
            before = self._exported.get(key)
            self._exported[key] = totals
            if before is not None:
                counts = tuple(new - old for new, old in zip(counts, before.counts, strict=True))
                total -= before.sum
            if not any(counts):
                return None
        count, least, most = sum(counts), totals.min, totals.max
        if least > most:
            # The only values were recorded while the extremes restarted, and are in neither.
            least = most = total / count
        return HistogramDataPoint(
            attributes=dict(attributes),
            start_time_unix_nano=self._started_ns,
            time_unix_nano=now,
            count=count,
            sum=total,
            bucket_counts=counts,
            explicit_bounds=metric.buckets,
            min=least,
            max=most,
            exemplars=[
                Exemplar({}, example.value, example.time_ns, example.span_id, example.trace_id)
                for example in totals.exemplars.values()
            ],
        )


class AccountedMetricReader(PeriodicExportingMetricReader):
    """The SDK's periodic reader, which survives a fork and counts what its last export lost.

    Args:
        exporter: Where the metrics go.
        account: Counts losses.
    """

    def __init__(self, exporter: MetricExporter, account: ExportAccount) -> None:
        super().__init__(exporter)
        self._account = account

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Collect and export a last time, within most of the time, and stop."""
        super().shutdown(timeout_millis * _SHARE, **kwargs)
        self._account.give_up("metrics", 0)

    def _at_fork_reinit(self) -> None:
        if self._shutdown:
            # The SDK would start a thread that exports once more, and fails.
            return
        # The parent may hold the lock when it forks, and the SDK would leave it locked.
        self._export_lock = threading.Lock()
        super()._at_fork_reinit()  # type: ignore[no-untyped-call]  # the SDK's


def _points(data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )
