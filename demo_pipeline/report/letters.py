"""Dead letters by where they are and why, each kind with a trace to look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo_pipeline.report.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demo_pipeline.report.delivery import Delivery
    from demo_pipeline.report.model import SpanFacts


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
