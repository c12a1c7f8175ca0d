"""Retries, duplicates, dead letters, order. Counts come from metrics, which are never sampled."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.facts import number_points
from demo_pipeline.report.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData

    from demo_pipeline.report.model import SpanFacts

_TOPIC: Final = "messaging.destination.name"
_GROUP: Final = "messaging.consumer.group.name"
_ERROR: Final = "error.type"
_RETRIES: Final = "pipeline.retries"
_DEAD_LETTERS: Final = "pipeline.dead_letters"
_DUPLICATES: Final = "pipeline.duplicates"
_OUT_OF_ORDER: Final = "pipeline.out_of_order"
_NAMES: Final = frozenset({_RETRIES, _DEAD_LETTERS, _DUPLICATES, _OUT_OF_ORDER})
_SUCCEEDED: Final = frozenset({"ok", "rejected"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """Retries, duplicates, dead letters and order of one topic in one consumer group.

    Attributes:
        service: The service.
        group: Its consumer group.
        topic: The topic.
        retries: Attempts after a failed one, by the error of the failed one.
        recovered: Records that succeeded at a later attempt, as far as there are spans.
        duplicates: Records that were skipped because they had been applied before.
        dead_letters: Records that were dead-lettered, by error.
        out_of_order: Records that were handled out of the order of their key.
    """

    service: str
    group: str
    topic: str
    retries: Counter[str]
    recovered: int
    duplicates: int
    dead_letters: Counter[str]
    out_of_order: int = 0

    @property
    def reader(self) -> str:
        """The service, with its group if that has another name."""
        return self.service if self.group in {"", self.service} else f"{self.service}/{self.group}"


@dataclass(frozen=True, slots=True)
class DeadLetterKind:
    """The dead letters of one topic and one error.

    Attributes:
        topic: The dead-letter topic.
        error: The type of the error.
        count: Their number.
        trace_id: The trace of the first one; `None` without a span.
    """

    topic: str
    error: str
    count: int
    trace_id: int | None


def deliveries(
    metrics: Iterable[MetricsData], spans: Iterable[SpanFacts] = ()
) -> tuple[Delivery, ...]:
    """Sum up by service, group and topic; omit those to which nothing of it happened.

    Args:
        metrics: The last cumulative metrics of each service.
        spans: The spans of all services; they show which records recovered.
    """
    by_reader: defaultdict[tuple[str, str, str], defaultdict[str, Counter[str]]]
    by_reader = defaultdict(lambda: defaultdict(Counter))
    for service, metric, point in number_points(metrics, _NAMES):
        count = int(point.value)
        if count > 0:
            attributes = point.attributes or {}
            reader = (service, str(attributes.get(_GROUP, "")), str(attributes.get(_TOPIC, "")))
            by_reader[reader][metric][str(attributes.get(_ERROR, "unknown"))] += count
    recovered = Counter(
        (span.service, span.group, span.topic)
        for span in spans
        if span.attempts > 1 and span.outcome in _SUCCEEDED
    )
    return tuple(
        Delivery(
            *reader,
            retries=counts[_RETRIES],
            recovered=recovered[reader],
            duplicates=counts[_DUPLICATES].total(),
            dead_letters=counts[_DEAD_LETTERS],
            out_of_order=counts[_OUT_OF_ORDER].total(),
        )
        for reader, counts in sorted(by_reader.items())
    )


def dead_letter_kinds(
    deliveries: Iterable[Delivery], spans: Sequence[SpanFacts]
) -> tuple[DeadLetterKind, ...]:
    """Group dead letters by topic and error, the most frequent of a topic first.

    Counts come from metrics; topics and example traces come from spans.
    """
    topics: dict[tuple[str, str], str] = {}
    examples: dict[tuple[str, str], int] = {}
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    for span in spans:
        if span.role is not Role.DEAD_LETTER:
            continue
        processing = by_id.get((span.trace_id, span.parent_id or 0))
        if processing is not None:
            topics.setdefault((processing.group, processing.topic), span.topic)
            examples.setdefault((span.topic, processing.error_type or "unknown"), span.trace_id)
    counts: Counter[tuple[str, str]] = Counter()
    for delivery in deliveries:
        default = f"{delivery.topic}.{delivery.group}.dlq"
        topic = topics.get((delivery.group, delivery.topic), default)
        for error, count in delivery.dead_letters.items():
            counts[topic, error] += count
    ranked = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return tuple(
        DeadLetterKind(topic, error, count, examples.get((topic, error)))
        for (topic, error), count in ranked
    )
