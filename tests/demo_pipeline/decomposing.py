"""Splitting the end-to-end lag of a hop into the parts that it and the hops before it add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.model import Role
from demo_pipeline.report.timing import pauses_by_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo_pipeline.report.model import SpanFacts

_NS_PER_MS: Final = 1_000_000
_PUBLISH: Final = "pipeline.publish.duration"


@dataclass(frozen=True, slots=True)
class Parts:
    """What one hop adds, in ms.

    `outside` is how long before the start or after the end of its handler the next event was
    created.
    """

    publish: int
    wait: int
    retry: int
    processing: int
    outside: int

    @property
    def total(self) -> int:
        return self.publish + self.wait + self.retry + self.processing


@dataclass(frozen=True, slots=True)
class Decomposed:
    """The end-to-end lag that a hop reports, in ms, and its parts by hop."""

    hop: str
    reported: float
    parts: tuple[Parts, ...]

    @property
    def missing(self) -> float:
        return abs(self.reported - sum(part.total for part in self.parts))


def decompose(spans: Sequence[SpanFacts]) -> list[Decomposed]:
    """Decompose the lag of every hop of one trace."""
    by_id = {span.span_id: span for span in spans}
    retries = {
        parent: (pauses[-1].end_ns - pauses[0].start_ns) // _NS_PER_MS
        for parent, pauses in pauses_by_span(spans).items()
    }
    decomposed = []
    for last in spans:
        if last.role is Role.PROCESS and last.end_to_end_ns is not None:
            way = _way(last, by_id)
            following = [*way[1:], None]
            parts = [
                _parts(span, behind, retries.get(span.span_id, 0))
                for span, behind in zip(way, following, strict=True)
            ]
            reported = last.end_to_end_ns / _NS_PER_MS
            hop = f"{last.reader} ← {last.topic}"
            decomposed.append(Decomposed(hop, reported, tuple(parts)))
    return decomposed


def _way(last: SpanFacts, by_id: dict[int, SpanFacts]) -> list[SpanFacts]:
    way: list[SpanFacts] = []
    span: SpanFacts | None = last
    while span is not None:
        if span.role is Role.PROCESS:
            way.insert(0, span)
        span = None if span.parent_id is None else by_id.get(span.parent_id)
    return way


def _parts(hop: SpanFacts, behind: SpanFacts | None, retry: int) -> Parts:
    start, end = hop.start_ns // _NS_PER_MS, hop.end_ns // _NS_PER_MS
    handed_on = end if behind is None else _created(behind)
    return Parts(
        publish=_publish(hop),
        wait=_wait(hop),
        retry=retry,
        processing=handed_on - start - retry,
        outside=max(0, start - handed_on, handed_on - end),
    )


def _created(hop: SpanFacts) -> int:
    """Return when the event that a hop handles was created, unix ms."""
    return hop.start_ns // _NS_PER_MS - _wait(hop) - _publish(hop)


def _wait(hop: SpanFacts) -> int:
    assert hop.wait_ns is not None
    return round(hop.wait_ns / _NS_PER_MS)


def _publish(hop: SpanFacts) -> int:
    publish_s = hop.attributes[_PUBLISH]
    assert isinstance(publish_s, float)
    return round(publish_s * 1000)
