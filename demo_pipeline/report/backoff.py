"""When a service waited between two attempts at a record."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo_pipeline.report.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from demo_pipeline.report.model import SpanFacts


@dataclass(frozen=True, slots=True)
class Pause:
    """From the end of a failed attempt to the start of the next one, in unix ns."""

    start_ns: int
    end_ns: int


def pauses_by_span(spans: Iterable[SpanFacts]) -> Mapping[int, tuple[Pause, ...]]:
    """Find the pauses of each process span, by its id and in the order of time.

    The first attempt has no span of its own. It ended at the latest when the backoff began, which
    the second attempt tells; the end of any other attempt is that of its span.
    """
    attempts: defaultdict[int, list[SpanFacts]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_ns, span.end_ns)):
        if span.role is Role.RETRY and span.parent_id is not None:
            attempts[span.parent_id].append(span)
    return {parent: _between(made) for parent, made in attempts.items()}


def _between(made: list[SpanFacts]) -> tuple[Pause, ...]:
    ends = [made[0].start_ns - (made[0].backoff_ns or 0), *(span.end_ns for span in made)]
    return tuple(
        Pause(min(end, span.start_ns), span.start_ns) for end, span in zip(ends, made, strict=False)
    )
