"""One instance of an observed flow: its row, what events change of it, and its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from tracing.sagas.context import SagaContext
from tracing.sagas.flow import STARTED_STATE
from tracing.sagas.store import SagaHistory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracing.sagas.context import SagaOutcome
    from tracing.sagas.flow import FlowEvent

CHANGING: Final = (
    "state", "context", "started_ns", "deadline_ns", "moved_ns", "ended_ns", "outcome",
)  # fmt: skip
"""The columns that events change."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A row of the table, with its columns in their order."""

    saga: str
    saga_id: str
    state: str
    context: str | None
    started_ns: int | None
    deadline_ns: int | None
    moved_ns: int
    ended_ns: int | None
    outcome: str | None
    reason: str | None

    @property
    def complete(self) -> bool:
        """Whether both its start and its end are known."""
        return self.started_ns is not None and self.ended_ns is not None

    def values(self, saga: str) -> dict[str, object]:
        """Return the parameters of its update."""
        changing = {f"new_{name}": getattr(self, name) for name in CHANGING}
        return {"of_saga": saga, "of_id": self.saga_id, **changing}


def history_of(
    row: Instance, steps: Sequence[tuple[str, int]], only: str | None
) -> SagaHistory | None:
    """Return what to report of an instance: everything, or only a late step.

    Args:
        row: The instance.
        steps: The steps that have ended and when, in this order.
        only: The only step to report.
    """
    context = None if row.context is None else SagaContext.parse(row.context)
    if context is None or row.started_ns is None or row.ended_ns is None:
        return None
    history: list[tuple[str, int, int]] = []
    previous_ns = row.started_ns
    for step, ended_ns in steps:
        if ended_ns <= row.ended_ns:
            history.append((step, min(previous_ns, ended_ns), ended_ns))
            previous_ns = max(previous_ns, ended_ns)
    return SagaHistory(
        context=context,
        outcome=cast("SagaOutcome", row.outcome),
        ended_ns=row.ended_ns,
        deadline_ns=cast("int", row.deadline_ns),
        steps=tuple(step for step in history if only is None or step[0] == only),
        end_reported=only is not None,
    )


def changes_of(
    row: Instance, event: FlowEvent, context: SagaContext | None, deadline_ns: int | None
) -> dict[str, Any]:
    """Return an event's changes of an instance's row; of repeated events, the first one counts."""
    changes: dict[str, Any] = {}
    if context is not None and (row.started_ns is None or context.started_ns < row.started_ns):
        changes |= {
            "context": str(context),
            "started_ns": context.started_ns,
            "deadline_ns": deadline_ns,
        }
    at_ns, outcome = event.at_ns, event.outcome
    if row.ended_ns is not None:
        # Another outcome has been counted, which cannot be undone.
        if outcome == row.outcome and at_ns < row.ended_ns:
            changes |= {"ended_ns": at_ns, "moved_ns": at_ns}
    elif outcome is not None:
        changes |= {"outcome": outcome, "ended_ns": at_ns, "state": outcome, "moved_ns": at_ns}
    elif _order(at_ns, event.state) > _order(row.moved_ns, row.state):
        changes |= {"state": event.state, "moved_ns": at_ns}
    return changes


def _order(at_ns: int, state: str) -> tuple[int, bool, str]:
    """Return a sort key: by time; at equal times, a start comes first and names decide the rest."""
    return at_ns, state != STARTED_STATE, state
