"""Groups that started on history: how much of it they read, and how quickly."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo_pipeline.report.backlog import arrived_at, first_sends
from demo_pipeline.report.model import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo_pipeline.report.model import SpanFacts

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CatchUp:
    """The history that one group read.

    Attributes:
        reader: The service, with its group if that has another name.
        topics: The topics with history.
        records: Number of records that were history.
        age_ns: How old the oldest of them was when it was handled.
        took_ns: From the start of the first handling to the end of the last one.
        others: Number of records that it handled beside them.
    """

    reader: str
    topics: tuple[str, ...]
    records: int
    age_ns: int
    took_ns: int
    others: int

    @property
    def per_second(self) -> float:
        """Records of history per second."""
        return self.records * _NS / self.took_ns if self.took_ns else 0.0


def catch_ups(spans: Sequence[SpanFacts]) -> tuple[CatchUp, ...]:
    """Sum up the history that groups read, in the order of their first records."""
    sent = first_sends(spans)
    by_reader: defaultdict[str, list[SpanFacts]] = defaultdict(list)
    for span in spans:
        if span.role is Role.PROCESS:
            by_reader[span.reader].append(span)
    found = []
    for reader, handled in by_reader.items():
        history = [span for span in handled if span.catch_up]
        if history:
            started = min(span.start_ns for span in history)
            found.append(
                CatchUp(
                    reader=reader,
                    topics=tuple(sorted({span.topic for span in history})),
                    records=len(history),
                    age_ns=max(span.start_ns - arrived_at(span, sent) for span in history),
                    took_ns=max(span.end_ns for span in history) - started,
                    others=len(handled) - len(history),
                )
            )
    return tuple(found)
