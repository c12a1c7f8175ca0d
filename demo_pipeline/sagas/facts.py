"""What one transition of a saga means for telemetry: which step ended, how, and which began."""

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
        name: Its name.
        outcome: How it ended.
        error_type: The type of the error, if it ended in one.
        attempts: How often its command was sent.
    """

    name: str
    outcome: StepOutcome
    error_type: str | None
    attempts: int

    @property
    def compensation(self) -> bool:
        """Whether it is a compensation."""
        return self.name in COMPENSATIONS


@dataclass(frozen=True, slots=True)
class Facts:
    """What happened to a saga in one transition.

    Attributes:
        started: Whether it began.
        step_ended: The step that ended, if one did.
        compensating_because: Why it begins to compensate, if it does.
        asked: The step whose command was sent, if one was.
        attempt: How often that command was sent.
        outcome: How the saga ended, if it did.
    """

    started: bool
    step_ended: StepEnd | None
    compensating_because: str | None
    asked: str | None
    attempt: int
    outcome: SagaOutcome | None


def facts_of(before: SagaState | None, after: SagaState, happening: Happening) -> Facts:
    """Return the facts of a transition that changed the state."""
    awaited = None if before is None else before.awaited
    starts_compensating = after.phase is Phase.COMPENSATING and (
        before is None or before.phase is Phase.RUNNING
    )
    return Facts(
        started=before is None,
        step_ended=None
        if before is None or awaited is None or awaited == after.awaited
        else StepEnd(awaited, *_outcome(happening), before.attempt),
        compensating_because=after.reason if starts_compensating else None,
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
