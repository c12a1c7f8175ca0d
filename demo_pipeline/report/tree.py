"""A trace as a tree of spans, depth first."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from demo_pipeline.report.model import Role, SpanFacts


@dataclass(frozen=True, slots=True)
class Row:
    """A span and its place in the tree.

    `more` has one value for each level below the root, the span's own level last: whether another
    sibling follows further down. Tree lines are drawn from it.
    """

    span: SpanFacts
    more: tuple[bool, ...]

    @property
    def depth(self) -> int:
        """0 at a root."""
        return len(self.more)


def rows(spans: Sequence[SpanFacts]) -> tuple[Row, ...]:
    """Return spans depth first, siblings by start.

    Every span occurs exactly once. Orphans become roots, and so does one span of each cycle of
    parents.
    """
    span_ids = {span.span_id for span in spans}
    children: defaultdict[int | None, list[SpanFacts]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_ns, span.span_id)):
        children[span.parent_id if span.parent_id in span_ids else None].append(span)
    ordered: list[Row] = []
    seen: set[int] = set()
    # After all roots, only spans of cycles are still unseen.
    for top in (*children[None], *spans):
        stack: list[Row] = [Row(top, ())]
        while stack:
            row = stack.pop()
            if row.span.span_id in seen:
                continue
            seen.add(row.span.span_id)
            ordered.append(row)
            below = children[row.span.span_id]
            stack.extend(
                Row(child, (*row.more, place > 0)) for place, child in enumerate(reversed(below))
            )
    return tuple(ordered)


def longest(spans: Sequence[SpanFacts], most: int) -> Sequence[SpanFacts]:
    """Return at most so many spans, failed ones before long ones, with all spans above them."""
    if len(spans) <= most:
        return spans
    by_id = {span.span_id: span for span in spans}
    kept: dict[int, SpanFacts] = {}
    for span in sorted(spans, key=lambda span: (not _is_bad(span), -_length(span), span.start_ns)):
        added: dict[int, SpanFacts] = {}
        above: SpanFacts | None = span
        while above is not None and above.span_id not in kept and above.span_id not in added:
            added[above.span_id] = above
            above = None if above.parent_id is None else by_id.get(above.parent_id)
        if len(kept) + len(added) <= most:
            kept |= added
    return tuple(kept.values())


def _is_bad(span: SpanFacts) -> bool:
    return span.failed or span.role is Role.DEAD_LETTER


def _length(span: SpanFacts) -> int:
    return span.duration_ns + (span.lead_ns or 0)
