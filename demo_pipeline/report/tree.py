"""A trace as a tree of spans, in reading order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from demo_pipeline.report.model import SpanFacts


@dataclass(frozen=True, slots=True)
class Row:
    """A span and where it hangs.

    `more` says for each level below the root, the span's own last, whether another sibling
    follows further down: what tree lines are drawn from.
    """

    span: SpanFacts
    more: tuple[bool, ...]

    @property
    def depth(self) -> int:
        """0 at a root."""
        return len(self.more)


def rows(spans: Sequence[SpanFacts]) -> tuple[Row, ...]:
    """Order spans depth first, siblings by start.

    Every span comes up exactly once: orphans are shown as roots, and so is one span of a ring
    of parents.
    """
    known = {span.span_id for span in spans}
    children: defaultdict[int | None, list[SpanFacts]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_ns, span.span_id)):
        children[span.parent_id if span.parent_id in known else None].append(span)
    ordered: list[Row] = []
    seen: set[int] = set()
    # Spans that no root leads to are tried last: only those of a ring are still unseen then.
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
