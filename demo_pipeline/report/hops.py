"""Hops, each one consumer group reading one topic: their times, and their lag over time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.model import Hop, Role
from demo_pipeline.report.timing import distribution, pauses_by_span, waits_by_span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demo_pipeline.report.model import SpanFacts


_SLOTS: Final = 120


@dataclass(frozen=True, slots=True)
class HopLag:
    """The end-to-end lag of one hop over time.

    Attributes:
        name: The hop, as `service ← topic`.
        worst_ns: The highest lag in each slot, in ns; `None` for a slot in which nothing ended.
    """

    name: str
    worst_ns: tuple[int | None, ...]

    @property
    def highest_ns(self) -> int:
        """The highest lag of all slots."""
        return max((lag for lag in self.worst_ns if lag is not None), default=0)


@dataclass(frozen=True, slots=True)
class LagsOverTime:
    """The end-to-end lag of all hops over a period, divided into equal slots.

    Attributes:
        start_ns: When the first record was handled, unix ns.
        end_ns: When the last one was.
        hops: The hops, in the order of their first records.
    """

    start_ns: int
    end_ns: int
    hops: tuple[HopLag, ...]


def sum_up_hops(spans: Sequence[SpanFacts]) -> tuple[Hop, ...]:
    """Sum up processing by service, group and topic, in the order of the first records."""
    retries = {
        parent: pauses[-1].end_ns - pauses[0].start_ns
        for parent, pauses in pauses_by_span(spans).items()
    }
    # What the attempts between the first and the last one wait is part of the retry.
    connections = {
        span_id: waits[0] + sum(waits[1:][-1:]) for span_id, waits in waits_by_span(spans).items()
    }
    by_hop: defaultdict[tuple[str, str, str], list[SpanFacts]] = defaultdict(list)
    for span in spans:
        if span.role is Role.PROCESS:
            by_hop[span.service, span.group, span.topic].append(span)
    ranked = sorted(
        by_hop.items(), key=lambda item: (min(span.start_ns for span in item[1]), item[0])
    )
    return tuple(
        Hop(
            service=service,
            group=group,
            topic=topic,
            records=len(handled),
            wait=distribution(_known(span.wait_ns for span in handled)),
            processing=distribution(
                max(
                    0,
                    span.duration_ns
                    - retries.get(span.span_id, 0)
                    - connections.get(span.span_id, 0),
                )
                for span in handled
            ),
            connection=distribution(_known(connections.get(span.span_id) for span in handled)),
            retry=distribution(_known(retries.get(span.span_id) for span in handled)),
            end_to_end=distribution(_known(span.end_to_end_ns for span in handled)),
            rejected=sum(span.outcome == "rejected" for span in handled),
            errors=sum(span.failed for span in handled),
        )
        for (service, group, topic), handled in ranked
    )


def lags_over_time(spans: Sequence[SpanFacts]) -> LagsOverTime | None:
    """Sort the end-to-end lags of spans into time slots; return `None` without any."""
    lags = [
        (span, span.end_to_end_ns)
        for span in spans
        if span.role is Role.PROCESS and span.end_to_end_ns is not None
    ]
    if not lags:
        return None
    start = min(span.end_ns for span, _ in lags)
    end = max(span.end_ns for span, _ in lags)
    by_hop: defaultdict[str, list[int | None]] = defaultdict(lambda: [None] * _SLOTS)
    for span, lag_ns in lags:
        slots = by_hop[f"{span.reader} ← {span.topic}"]
        slot = min(_SLOTS - 1, (span.end_ns - start) * _SLOTS // max(1, end - start))
        slots[slot] = max(lag_ns, slots[slot] or 0)
    return LagsOverTime(
        start, end, tuple(HopLag(name, tuple(slots)) for name, slots in by_hop.items())
    )


def _known(durations_ns: Iterable[int | None]) -> Iterable[int]:
    return (duration for duration in durations_ns if duration is not None)
