"""How an order ended, or that it did not."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from demo_pipeline.report.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from demo_pipeline.report.model import OrderReport, SpanFacts


class OrderState(StrEnum):
    """The state of an order, the worst first."""

    FAILED = "failed"
    DEAD_LETTERED = "dead-lettered"
    UNFINISHED = "unfinished"
    COMPENSATED = "compensated"
    COMPLETED = "completed"


_TROUBLED = frozenset({OrderState.FAILED, OrderState.DEAD_LETTERED, OrderState.UNFINISHED})


def state_of(report: OrderReport) -> OrderState:
    """Return the state of an order; where several apply, the worst of them."""
    spans = [span for trace in report.order.traces for span in trace.spans]
    outcomes = {span.saga.outcome for span in spans if span.role is Role.SAGA and span.saga}
    if "failed" in outcomes:
        return OrderState.FAILED
    if report.dead_lettered:
        return OrderState.DEAD_LETTERED
    if report.timing is None or _has_active_saga(spans):
        return OrderState.UNFINISHED
    return OrderState.COMPENSATED if "compensated" in outcomes else OrderState.COMPLETED


def is_troubled(report: OrderReport) -> bool:
    """Whether an order needs a person: it failed, has not ended, or its trace is broken."""
    return report.fault is not None or state_of(report) in _TROUBLED


def _has_active_saga(spans: Iterable[SpanFacts]) -> bool:
    """Whether a saga has steps, but not yet its own span, which ends with the saga."""
    begun: set[tuple[str, str]] = set()
    ended: set[tuple[str, str]] = set()
    for span in spans:
        if span.saga is not None:
            seen = ended if span.role is Role.SAGA else begun
            seen.add((span.saga.name, span.saga.saga_id))
    return bool(begun - ended)
