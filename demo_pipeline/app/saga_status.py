"""The status of sagas, read from the database of the orchestrator or the observer."""

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
"""All states that a saga can be in, those of observed flows included."""
_COMMANDS: Final = {
    **{step.name: step.command.__name__ for step in STEPS},
    **{name: undoing.command.__name__ for name, undoing in COMPENSATIONS.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """The status of one step.

    Attributes:
        step: Its name.
        command: Its command; `None` in an observed flow.
        attempts: How often the command was sent.
        compensation: Whether it is a compensation.
        outcome: `ok`, `rejected` or `error`; `None` while it is in progress.
        started: When its command was first sent, ISO 8601; `None` if unknown.
        ended: When it ended, likewise.
        took_s: How long it took or has taken so far, in seconds.
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
    """The status of one saga.

    Attributes:
        saga: Its name.
        saga_id: Its id, which is the order's.
        state: The step that it waits for, or how it ended.
        reason: Why it compensates.
        overdue: Whether it is, or ended, past its deadline.
        started: When it started, ISO 8601.
        deadline: Its deadline, likewise.
        ended: When it ended, likewise.
        age_s: How long it took or has taken so far, in seconds.
        trace_id: Its trace.
        to_undo: If it has failed, the compensations that were not done.
        steps: Its steps so far; only for a single saga.
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
class SagaSelection:
    """Which sagas to list.

    Attributes:
        states: Only sagas in one of these states; all if empty.
        active: Only sagas that have not ended.
        overdue: Only sagas that have not ended and are past their deadline.
        limit: The maximal number.
    """

    states: tuple[str, ...] = ()
    active: bool = False
    overdue: bool = False
    limit: int = 50


async def listed(
    database: AsyncEngine, selection: SagaSelection, *, observed: bool
) -> list[SagaStatus]:
    """Return sagas, the latest first."""
    async with database.connect() as connection:
        records = await _view(observed=observed).sagas(
            connection,
            saga=observer.ORDER_NOTIFICATION.name if observed else NAME,
            states=selection.states,
            active=selection.active,
            overdue=selection.overdue,
            limit=selection.limit,
        )
        return [
            _status(
                record,
                to_undo=await _to_undo(connection, record, observed=observed, listing=True),
            )
            for record in records
        ]


async def shown(database: AsyncEngine, saga_id: str, *, observed: bool) -> SagaStatus | None:
    """Return one saga with its steps; `None` if there is no saga of that id."""
    view = _view(observed=observed)
    async with database.connect() as connection:
        name = observer.ORDER_NOTIFICATION.name if observed else NAME
        records = await view.find(connection, saga_id, saga=name)
        if not records:
            return None
        steps = await view.steps(connection, records[0].saga, saga_id)
        to_undo = await _to_undo(connection, records[0], observed=observed)
    return _status(records[0], steps, to_undo)


async def _to_undo(
    connection: AsyncConnection, record: SagaRecord, *, observed: bool, listing: bool = False
) -> tuple[str, ...]:
    """Return the missing compensations of a failed saga; an observed flow has none."""
    if observed or record.outcome != "failed":
        return ()
    try:
        stored = await connection.run_sync(orchestrator.STORE.load, [record.saga_id], to_move=False)
    except msgspec.DecodeError as error:
        if listing:
            # One broken saga must not hide all others.
            return ("its state cannot be decoded",)
        raise DemoError(f"cannot decode the state of saga {record.saga_id}: {error}") from error
    return tuple(each for saga in stored.values() for each in saga.state.to_undo)


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
