"""Keep the saga metrics that services export, and notice counters that decrease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracing.core import semconv
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint

    Labels = frozenset[tuple[str, str]]

_TOTALS = frozenset(
    metric.name for metric in (catalog.SAGA_STARTED, catalog.SAGA_ENDED, catalog.SAGA_COMPENSATIONS)
)
_WATCHED = _TOTALS | {catalog.SAGA_ACTIVE.name, catalog.SAGA_OVERDUE.name}


class SagaMetrics:
    """Keep the last export of each service and metric. Not thread-safe.

    Attributes:
        exports: Number of exports of totals.
        decreases: Totals that decreased or disappeared between two exports, one line each.
    """

    def __init__(self) -> None:
        self.exports = 0
        self.decreases: list[str] = []
        self._last: dict[tuple[str, str], tuple[int, dict[Labels, float]]] = {}

    def take(self, service: str, metric: Metric) -> None:
        """Store one metric of a service's export."""
        if metric.name not in _WATCHED:
            return
        points = (metric.sum if metric.HasField("sum") else metric.gauge).data_points
        if not points:
            return
        values = {_labels(point.attributes): _value(point) for point in points}
        at_ns = max(point.time_unix_nano for point in points)
        last_ns, before = self._last.get((service, metric.name), (0, {}))
        if at_ns < last_ns:
            # The export of a killed process, whose successor has already exported.
            return
        if metric.name in _TOTALS:
            self.exports += metric.name == catalog.SAGA_STARTED.name
            self.decreases += [
                f"{service}: {metric.name} {dict(labels)} was {value:g}, then {values.get(labels)}"
                for labels, value in before.items()
                if values.get(labels, -1.0) < value
            ]
        # Replaces all series: a gauge's series of a killed process is no longer valid.
        self._last[service, metric.name] = at_ns, values

    def last(self, service: str, metric: str, saga: str) -> list[tuple[dict[str, str], float]]:
        """Return a saga's series of a metric from the service's last export."""
        _, exported = self._last.get((service, metric), (0, {}))
        series = ((dict(labels), value) for labels, value in exported.items())
        return [(labels, value) for labels, value in series if labels[semconv.SAGA_LABEL] == saga]

    def active(self, service: str, saga: str) -> int:
        """Return the number of sagas that had not ended.

        A process that has seen no active saga exports no series of them; those of the killed one
        before it are then not of the last export.
        """
        exported_ns, seen_ns = (
            self._last.get((service, metric.name), (0, {}))[0]
            for metric in (catalog.SAGA_STARTED, catalog.SAGA_ACTIVE)
        )
        if seen_ns < exported_ns:
            return 0
        series = self.last(service, catalog.SAGA_ACTIVE.name, saga)
        return int(sum(value for _, value in series))


def _labels(attributes: Iterable[KeyValue]) -> Labels:
    return frozenset((item.key, item.value.string_value) for item in attributes)


def _value(point: NumberDataPoint) -> float:
    return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
