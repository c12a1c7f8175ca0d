"""What there is to know of a saga, read from the database of whoever runs or observes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from time import time_ns
from typing import TYPE_CHECKING, Final

import msgspec

from demo_pipeline.runtime.errors import DemoError
from demo_pipeline.sagas.machine import END_PHASES
from demo_pipeline.sagas.place_order import COMPENSATIONS, NAME, STEPS
from demo_pipeline.services import observer, orchestrator
from tracing.sql import SagaView

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tracing.sql import SagaRecord, StepRecord

_NS: Final = 1_000_000_000
STATES: Final = (
    *(step.name for step in STEPS),
    *COMPENSATIONS,
    "started",
    *observer.ORDER_NOTIFICATION.steps.values(),
    *sorted(phase.value for phase in END_PHASES),
)
"""All states that a saga can be in, the observed ones as well."""
_COMMANDS: Final = {
    **{step.name: step.command.__name__ for step in STEPS},
    **{name: undoing.command.__name__ for name, undoing in COMPENSATIONS.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """One step, for people.

    Attributes:
        step: Its name.
        command: The command that asks for it; `None` where nobody commands.
        attempts: How often that was given.
        compensation: Whether it undoes another step.
        outcome: `ok`, `rejected` or `error`; `None` while it is under way.
        started: When it was asked for first, ISO 8601; `None` where that is not known.
        ended: When it ended, likewise.
        took_s: How long it took, or takes until now, in seconds.
    """

    step: str
    command: str | None
    attempts: int
    compensation: bool
    outcome: str | None
    started: str | None
    ended: str | None
    took_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaStatus:
    """One saga, for people.

    Attributes:
        saga: What sagas of its kind are called.
        saga_id: Which one: the order's id.
        state: What it waits for, or how it ended.
        reason: Why it turned back.
        overdue: Whether it takes, or took, longer than its deadline.
        started: When it started, ISO 8601.
        deadline: When it should be over, likewise.
        ended: When it ended, likewise.
        age_s: How long it took, or takes until now, in seconds.
        trace_id: The trace that shows it.
        to_undo: What nobody has undone, where it has failed.
        steps: Its steps so far; only where one saga is shown.
    """

    saga: str
    saga_id: str
    state: str
    reason: str | None
    overdue: bool
    started: str | None
    deadline: str | None
    ended: str | None
    age_s: float | None
    trace_id: str | None
    to_undo: tuple[str, ...] = ()
    steps: tuple[StepStatus, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which sagas to list.

    Attributes:
        states: Only those in one of these states; all when empty.
        active: Only those that have not ended.
        overdue: Only those that have not ended and are older than their deadline.
        limit: How many at most.
    """

    states: tuple[str, ...] = ()
    active: bool = False
    overdue: bool = False
    limit: int = 50


async def listed(database: AsyncEngine, wanted: Wanted, *, observed: bool) -> list[SagaStatus]:
    """List sagas, those that started last first."""
    async with database.connect() as connection:
        found = await _view(observed=observed).sagas(
            connection,
            saga=observer.ORDER_NOTIFICATION.name if observed else NAME,
            states=wanted.states,
            active=wanted.active,
            overdue=wanted.overdue,
            limit=wanted.limit,
        )
        return [
            _status(
                record,
                to_undo=await _to_undo(connection, record, observed=observed, listing=True),
            )
            for record in found
        ]


async def shown(database: AsyncEngine, saga_id: str, *, observed: bool) -> SagaStatus | None:
    """Show one saga with its steps; `None` where there is none of that id."""
    view = _view(observed=observed)
    async with database.connect() as connection:
        name = observer.ORDER_NOTIFICATION.name if observed else NAME
        found = await view.find(connection, saga_id, saga=name)
        if not found:
            return None
        steps = await view.steps(connection, found[0].saga, saga_id)
        to_undo = await _to_undo(connection, found[0], observed=observed)
    return _status(found[0], steps, to_undo)


async def _to_undo(
    connection: AsyncConnection, record: SagaRecord, *, observed: bool, listing: bool = False
) -> tuple[str, ...]:
    """What nobody has undone of a saga that failed; nobody undoes what is only observed."""
    if observed or record.outcome != "failed":
        return ()
    try:
        stored = await orchestrator.STORE.load(connection, record.saga_id, to_move=False)
    except msgspec.DecodeError as error:
        if listing:
            # One that cannot be read must not hide all others.
            return ("its state cannot be read",)
        raise DemoError(f"the state of saga {record.saga_id} cannot be read: {error}") from error
    return () if stored is None else stored.state.to_undo


def _view(*, observed: bool) -> SagaView:
    return SagaView(observer.SAGA_TABLES if observed else orchestrator.SAGA_TABLES)


def _status(
    record: SagaRecord, steps: list[StepRecord] | None = None, to_undo: tuple[str, ...] = ()
) -> SagaStatus:
    now_ns = time_ns()
    return SagaStatus(
        saga=record.saga,
        saga_id=record.saga_id,
        state=record.state,
        reason=record.reason,
        overdue=record.overdue(now_ns),
        started=_moment(record.started_ns),
        deadline=_moment(record.deadline_ns),
        ended=_moment(record.ended_ns),
        age_s=_took_s(record.started_ns, record.ended_ns, now_ns),
        trace_id=None if record.context is None else record.context.trace_id,
        to_undo=to_undo,
        steps=tuple(_step(step, now_ns) for step in steps or ()),
    )


def _step(step: StepRecord, now_ns: int) -> StepStatus:
    return StepStatus(
        step=step.step,
        command=_COMMANDS.get(step.step),
        attempts=step.attempts,
        compensation=step.compensation,
        outcome=step.outcome,
        started=_moment(step.started_ns),
        ended=_moment(step.ended_ns),
        took_s=_took_s(step.started_ns, step.ended_ns, now_ns),
    )


def _moment(unix_ns: int | None) -> str | None:
    if unix_ns is None:
        return None
    moment = datetime.fromtimestamp(unix_ns // 1_000_000 / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _took_s(started_ns: int | None, ended_ns: int | None, now_ns: int) -> float | None:
    if started_ns is None:
        return None
    return round(max(0, (now_ns if ended_ns is None else ended_ns) - started_ns) / _NS, 3)
