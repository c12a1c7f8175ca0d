"""Finding numbers among the metrics of a run."""

from collections.abc import Container, Iterable, Iterator
from typing import Final

from opentelemetry.sdk.metrics.export import MetricsData, NumberDataPoint

_SERVICE: Final = "service.name"


def number_points(
    metrics: Iterable[MetricsData], names: Container[str]
) -> Iterator[tuple[str, str, NumberDataPoint]]:
    """Find the points of counters and gauges of some names, with service and metric name."""
    for data in metrics:
        for resource in data.resource_metrics:
            service = str(resource.resource.attributes.get(_SERVICE) or "unknown")
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name in names:
                        for point in metric.data.data_points:
                            if isinstance(point, NumberDataPoint):
                                yield service, metric.name, point
