"""What each hop, one group reading one topic, adds to the time that an order takes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from demo_pipeline.report.backoff import pauses_by_span
from demo_pipeline.report.model import Hop, Role
from demo_pipeline.report.timing import distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demo_pipeline.report.model import SpanFacts


def sum_up_hops(spans: Sequence[SpanFacts]) -> tuple[Hop, ...]:
    """Sum processing up by service, group and topic; the hop that worked first comes first."""
    retries = {
        parent: pauses[-1].end_ns - pauses[0].start_ns
        for parent, pauses in pauses_by_span(spans).items()
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
                max(0, span.duration_ns - retries.get(span.span_id, 0)) for span in handled
            ),
            retry=distribution(_known(retries.get(span.span_id) for span in handled)),
            end_to_end=distribution(_known(span.end_to_end_ns for span in handled)),
            rejected=sum(span.outcome == "rejected" for span in handled),
            errors=sum(span.failed for span in handled),
        )
        for (service, group, topic), handled in ranked
    )


def _known(durations_ns: Iterable[int | None]) -> Iterable[int]:
    return (duration for duration in durations_ns if duration is not None)
