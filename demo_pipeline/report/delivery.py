"""What became of records that failed or came twice: counted by the metrics, which none escapes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.metric_points import number_points

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.metrics.export import MetricsData

    from demo_pipeline.report.model import SpanFacts

_TOPIC: Final = "messaging.destination.name"
_GROUP: Final = "messaging.consumer.group.name"
_ERROR: Final = "error.type"
_RETRIES: Final = "pipeline.retries"
_DEAD_LETTERS: Final = "pipeline.dead_letters"
_DUPLICATES: Final = "pipeline.duplicates"
_NAMES: Final = frozenset({_RETRIES, _DEAD_LETTERS, _DUPLICATES})
_WENT_THROUGH: Final = frozenset({"ok", "rejected"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one consumer group did about one topic's records that did not just go through.

    Attributes:
        service: The service.
        group: Its consumer group.
        topic: The topic.
        retries: Attempts after a failed one, by the error that made them necessary.
        recovered: Records that went through at a later attempt, as far as there are spans.
        duplicates: Records that were skipped because they had been applied before.
        dead_letters: Records that were given up, by error.
    """

    service: str
    group: str
    topic: str
    retries: Counter[str]
    recovered: int
    duplicates: int
    dead_letters: Counter[str]

    @property
    def reader(self) -> str:
        """The service, with its group where that goes by another name."""
        return self.service if self.group in {"", self.service} else f"{self.service}/{self.group}"


def deliveries(
    metrics: Iterable[MetricsData], spans: Iterable[SpanFacts] = ()
) -> tuple[Delivery, ...]:
    """Sum up by service, group and topic, leaving out those with nothing to tell.

    Args:
        metrics: The last cumulative metrics of each service.
        spans: The spans of all services; from these it is known which records recovered.
    """
    found: defaultdict[tuple[str, str, str], defaultdict[str, Counter[str]]]
    found = defaultdict(lambda: defaultdict(Counter))
    for service, metric, point in number_points(metrics, _NAMES):
        count = int(point.value)
        if count > 0:
            attributes = point.attributes or {}
            reader = (service, str(attributes.get(_GROUP, "")), str(attributes.get(_TOPIC, "")))
            found[reader][metric][str(attributes.get(_ERROR, "unknown"))] += count
    recovered = Counter(
        (span.service, span.group, span.topic)
        for span in spans
        if span.attempts > 1 and span.outcome in _WENT_THROUGH
    )
    return tuple(
        Delivery(
            *reader,
            retries=counts[_RETRIES],
            recovered=recovered[reader],
            duplicates=counts[_DUPLICATES].total(),
            dead_letters=counts[_DEAD_LETTERS],
        )
        for reader, counts in sorted(found.items())
    )
