"""The state machine of the place-order saga: a pure function of its state and one input.

It reads no clock and does no I/O. Duplicates, late answers and expired timers change nothing, so
events may arrive in any order and any number of times.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from demo_pipeline.domain.commands import CancelOrder, Command, HoldOrder
from demo_pipeline.domain.deadlines import Deadlines
from demo_pipeline.domain.events import Event, Order, OrderPlaced, Rejection
from demo_pipeline.sagas.place_order import CANCEL_ORDER, COMPENSATIONS, STEPS


class Phase(StrEnum):
    """The phase of a saga."""

    RUNNING = "running"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    FAILED = "failed"


END_PHASES: Final = frozenset({Phase.COMPLETED, Phase.COMPENSATED, Phase.FAILED})


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The answer to one attempt did not come in time."""

    awaited: str
    attempt: int


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The saga's deadline has passed."""


@dataclass(frozen=True, slots=True)
class SagaState:
    """The state of a saga.

    Attributes:
        order: Its order.
        phase: Its phase.
        step: While it runs, the index of the step whose answer it awaits.
        to_undo: While it compensates, the remaining compensations; the first one is in progress.
        attempt: How often it has sent the command whose answer it awaits.
        reason: Why it compensates.
    """

    order: Order
    phase: Phase = Phase.RUNNING
    step: int = 0
    to_undo: tuple[str, ...] = ()
    attempt: int = 1
    reason: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it has ended; an end is final."""
        return self.phase in END_PHASES

    @property
    def awaited(self) -> str | None:
        """The step or compensation whose answer it awaits; `None` at the end."""
        if self.phase is Phase.RUNNING:
            return STEPS[self.step].name
        return self.to_undo[0] if self.phase is Phase.COMPENSATING else None

    @property
    def deadline_applies(self) -> bool:
        """Whether it compensates when its deadline passes: it runs, and its pivot is not done."""
        return self.phase is Phase.RUNNING and not any(step.pivot for step in STEPS[: self.step])


Happening = Event | TimedOut | DeadlinePassed
"""The inputs of a saga."""

Move = tuple[SagaState | None, tuple[Command, ...]]
"""The state after a transition, and the commands to send."""


def advance(state: SagaState | None, message: Happening, deadlines: Deadlines) -> Move:
    """Apply one input to a saga.

    Args:
        state: Its state; `None` for an unknown order.
        message: The input.
        deadlines: How often to send a command.

    Returns:
        The new state, which is the same one if the input changes nothing, and the commands.
    """
    if state is None:
        if isinstance(message, OrderPlaced):
            return _ask(SagaState(message.order))
        return None, ()
    if state.ended:
        return state, ()
    if isinstance(message, TimedOut):
        if (message.awaited, message.attempt) != (state.awaited, state.attempt):
            return state, ()
        return _not_answered(state, deadlines)
    return _run(state, message) if state.phase is Phase.RUNNING else _compensate(state, message)


def wait_s(state: SagaState, deadlines: Deadlines) -> float:
    """Return how long to wait for the awaited answer, in seconds."""
    if state.phase is Phase.COMPENSATING:
        return float(deadlines.compensation_s * 2 ** (state.attempt - 1))
    return deadlines.step_s


def _not_answered(state: SagaState, deadlines: Deadlines) -> Move:
    running = state.phase is Phase.RUNNING
    if state.attempt < (deadlines.step_attempts if running else deadlines.compensation_attempts):
        return _ask(replace(state, attempt=state.attempt + 1))
    if running:
        return _start_compensating(state, f"{state.awaited}: no answer", in_doubt=True)
    reason = f"{state.awaited} got no answer, after {state.reason}"
    return replace(state, phase=Phase.FAILED, reason=reason), (HoldOrder(state.order, reason),)


def _run(state: SagaState, message: Event | DeadlinePassed) -> Move:
    step = STEPS[state.step]
    if isinstance(message, DeadlinePassed) and state.deadline_applies:
        return _start_compensating(state, f"{step.name}: too late", in_doubt=True)
    if isinstance(message, Rejection) and isinstance(message, step.refused):
        return _start_compensating(state, message.reason, in_doubt=False)
    if not isinstance(message, step.done):
        return state, ()
    if state.step + 1 == len(STEPS):
        return replace(state, phase=Phase.COMPLETED), ()
    return _ask(replace(state, step=state.step + 1, attempt=1))


def _start_compensating(state: SagaState, reason: str, *, in_doubt: bool) -> Move:
    """Compensate all completed steps, the last first; if in doubt, the current one as well."""
    begun = STEPS[: state.step + 1 if in_doubt else state.step]
    to_undo = (*(step.compensation for step in reversed(begun)), CANCEL_ORDER)
    return _ask(replace(state, phase=Phase.COMPENSATING, to_undo=to_undo, attempt=1, reason=reason))


def _compensate(state: SagaState, message: Event | DeadlinePassed) -> Move:
    if not isinstance(message, COMPENSATIONS[state.to_undo[0]].done):
        return state, ()
    left = state.to_undo[1:]
    if not left:
        return replace(state, phase=Phase.COMPENSATED, to_undo=()), ()
    return _ask(replace(state, to_undo=left, attempt=1))


def _ask(state: SagaState) -> tuple[SagaState, tuple[Command, ...]]:
    """Send the command whose answer the state awaits."""
    if state.phase is Phase.RUNNING:
        return state, (STEPS[state.step].command(state.order, state.attempt),)
    command = COMPENSATIONS[state.to_undo[0]].command
    if issubclass(command, CancelOrder):
        return state, (command(state.order, state.reason or "unknown", state.attempt),)
    return state, (command(state.order, state.attempt),)
