"""How far behind each hop was in the course of a run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.model import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo_pipeline.report.model import SpanFacts

_SLOTS: Final = 120


@dataclass(frozen=True, slots=True)
class HopLag:
    """The end-to-end lag of one hop over time.

    Attributes:
        name: The hop, as `service ← topic`.
        worst_ns: The highest lag of what ended in each slot, in ns; `None` where nothing did.
    """

    name: str
    worst_ns: tuple[int | None, ...]

    @property
    def highest_ns(self) -> int:
        """The highest lag of all."""
        return max((lag for lag in self.worst_ns if lag is not None), default=0)


@dataclass(frozen=True, slots=True)
class LagsOverTime:
    """The end-to-end lag of all hops over one stretch of time, cut into equal slots.

    Attributes:
        start_ns: When the first record was handled, unix ns.
        end_ns: When the last one was.
        hops: The hops, the one that handled something first coming first.
    """

    start_ns: int
    end_ns: int
    hops: tuple[HopLag, ...]


def lags_over_time(spans: Sequence[SpanFacts]) -> LagsOverTime | None:
    """Put the end-to-end lags that spans tell into slots of time; `None` where none does."""
    told = [
        (span, span.end_to_end_ns)
        for span in spans
        if span.role is Role.PROCESS and span.end_to_end_ns is not None
    ]
    if not told:
        return None
    start = min(span.end_ns for span, _ in told)
    end = max(span.end_ns for span, _ in told)
    by_hop: defaultdict[str, list[int | None]] = defaultdict(lambda: [None] * _SLOTS)
    for span, lag_ns in told:
        slots = by_hop[f"{span.reader} ← {span.topic}"]
        slot = min(_SLOTS - 1, (span.end_ns - start) * _SLOTS // max(1, end - start))
        slots[slot] = max(lag_ns, slots[slot] or 0)
    return LagsOverTime(
        start, end, tuple(HopLag(name, tuple(slots)) for name, slots in by_hop.items())
    )
