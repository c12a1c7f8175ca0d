"""What a move of the saga means to those who watch: which step ended how, which began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.domain.events import Rejection
from demo_pipeline.sagas.machine import DeadlinePassed, Phase, TimedOut
from demo_pipeline.sagas.place_order import COMPENSATIONS

if TYPE_CHECKING:
    from demo_pipeline.sagas.machine import Happening, SagaState
    from tracing import SagaOutcome, StepOutcome

_OUTCOMES: Final[dict[Phase, SagaOutcome]] = {
    Phase.COMPLETED: "completed",
    Phase.COMPENSATED: "compensated",
    Phase.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class StepEnd:
    """A step or compensation that ended.

    Attributes:
        name: Which one.
        outcome: How.
        error_type: What went wrong, where something did.
        attempts: How often it was asked for.
    """

    name: str
    outcome: StepOutcome
    error_type: str | None
    attempts: int

    @property
    def compensation(self) -> bool:
        """Whether it undoes a step."""
        return self.name in COMPENSATIONS


@dataclass(frozen=True, slots=True)
class Facts:
    """What happened to a saga in one move.

    Attributes:
        started: Whether it began.
        step_ended: What it waited for until now.
        turned_back: Why it begins to compensate, if it does.
        asked: What it waits for from now on, if it has just asked for it.
        attempt: How often it has asked for that.
        outcome: How it ended, if it did.
    """

    started: bool
    step_ended: StepEnd | None
    turned_back: str | None
    asked: str | None
    attempt: int
    outcome: SagaOutcome | None


def facts_of(before: SagaState | None, after: SagaState, happening: Happening) -> Facts:
    """Say what a move was that changed something."""
    awaited = None if before is None else before.awaited
    turned_back = after.phase is Phase.COMPENSATING and (
        before is None or before.phase is Phase.RUNNING
    )
    return Facts(
        started=before is None,
        step_ended=None
        if before is None or awaited is None or awaited == after.awaited
        else StepEnd(awaited, *_outcome(happening), before.attempt),
        turned_back=after.reason if turned_back else None,
        asked=after.awaited,
        attempt=after.attempt,
        outcome=_OUTCOMES.get(after.phase),
    )


def _outcome(happening: Happening) -> tuple[StepOutcome, str | None]:
    if isinstance(happening, TimedOut):
        return "error", "timeout"
    if isinstance(happening, DeadlinePassed):
        return "error", "deadline"
    return ("rejected" if isinstance(happening, Rejection) else "ok"), None
