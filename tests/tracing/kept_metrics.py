"""A metric exporter that keeps what it is sent."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)


class KeptMetrics(MetricExporter):
    """Keeps what it is sent.

    Args:
        temporality: What it prefers for histograms.
        aggregation: What it prefers for histograms; by default what the SDK does.
    """

    def __init__(
        self,
        temporality: AggregationTemporality = AggregationTemporality.CUMULATIVE,
        aggregation: Any = None,
    ) -> None:
        preferred: Any = None if aggregation is None else {Histogram: aggregation}
        super().__init__({Histogram: temporality}, preferred)
        self.exported: list[MetricsData] = []

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        self.exported.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Hold nothing."""

    def points(self, name: str) -> list[Any]:
        """Return the points of a metric in the last export."""
        return [
            point
            for resource in self.exported[-1].resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]
