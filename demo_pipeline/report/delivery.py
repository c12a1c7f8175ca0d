"""What became of records that failed or came twice, as the metrics have it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics.export import NumberDataPoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.metrics.export import MetricsData

_TOPIC: Final = "messaging.destination.name"
_GROUP: Final = "messaging.consumer.group.name"
_ERROR: Final = "error.type"


@dataclass(slots=True)
class Delivery:
    """What one consumer group did about one topic's records that did not just go through.

    Attributes:
        group: The group.
        topic: The topic.
        retries: Attempts after a failed one, by the error that made them necessary.
        dead_letters: Records that were given up, by error.
        duplicates: Records that were skipped because they had been applied before.
    """

    group: str
    topic: str
    retries: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0


def deliveries(metrics: Iterable[MetricsData]) -> tuple[Delivery, ...]:
    """Sum up by group and topic, leaving out those with nothing to tell."""
    found: defaultdict[tuple[str, str], Delivery] = defaultdict(lambda: Delivery("", ""))
    for name, point in _points(metrics):
        attributes = point.attributes or {}
        key = (str(attributes.get(_GROUP, "")), str(attributes.get(_TOPIC, "")))
        count = int(point.value)
        if not count:
            continue
        delivery = found[key]
        delivery.group, delivery.topic = key
        error = str(attributes.get(_ERROR, "unknown"))
        if name == "pipeline.retries":
            delivery.retries[error] += count
        elif name == "pipeline.dead_letters":
            delivery.dead_letters[error] += count
        else:
            delivery.duplicates += count
    return tuple(found[key] for key in sorted(found))


_NAMES: Final = frozenset({"pipeline.retries", "pipeline.dead_letters", "pipeline.duplicates"})


def _points(metrics: Iterable[MetricsData]) -> Iterable[tuple[str, NumberDataPoint]]:
    for data in metrics:
        for resource in data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name in _NAMES:
                        for point in metric.data.data_points:
                            if isinstance(point, NumberDataPoint):
                                yield metric.name, point
