"""What a metric is: its name and kind, its unit, its labels, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tracing.metrics.prometheus_names import prometheus_label, prometheus_name

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: The OpenTelemetry instrument name.
        kind: What instrument records it.
        unit: UCUM unit; annotations such as `{message}` count things.
        description: One sentence for people.
        labels: The attributes that its series may carry. One that does not apply is absent:
            `error.type` where nothing failed, the group of a consumer that has none.
        buckets: Upper bounds of a histogram's buckets, in `unit`, ascending.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """Its name in Prometheus, to which a histogram's `_bucket`, `_sum` or `_count` is added."""
        return prometheus_name(self.name, self.kind, self.unit)

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        """Its labels in Prometheus, apart from those of the resource."""
        return tuple(prometheus_label(label) for label in self.labels)
