"""What became of records that failed or came twice: counted by the metrics, which none escapes."""

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


@dataclass(frozen=True, slots=True)
class LetterKind:
    """The dead letters of one topic and one error.

    Attributes:
        topic: The dead-letter topic.
        error: The type of the error.
        count: How many there are.
        trace_id: The trace of the first of them; `None` where no span tells.
    """

    topic: str
    error: str
    count: int
    trace_id: int | None


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


def letter_kinds(
    deliveries: Iterable[Delivery], spans: Sequence[SpanFacts]
) -> tuple[LetterKind, ...]:
    """Group dead letters, the most frequent of a topic first.

    How many there are is from the metrics, where they are and an example from the spans.
    """
    topics: dict[tuple[str, str], str] = {}
    examples: dict[tuple[str, str], int] = {}
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    for letter in spans:
        if letter.role is not Role.DEAD_LETTER:
            continue
        given_up = by_id.get((letter.trace_id, letter.parent_id or 0))
        if given_up is not None:
            topics.setdefault((given_up.group, given_up.topic), letter.topic)
            examples.setdefault((letter.topic, given_up.error_type or "unknown"), letter.trace_id)
    counts: Counter[tuple[str, str]] = Counter()
    for delivery in deliveries:
        # What DeadLetters calls it where it is not told otherwise.
        usual = f"{delivery.topic}.{delivery.group}.dlq"
        topic = topics.get((delivery.group, delivery.topic), usual)
        for error, count in delivery.dead_letters.items():
            counts[topic, error] += count
    ranked = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return tuple(
        LetterKind(topic, error, count, examples.get((topic, error)))
        for (topic, error), count in ranked
    )
