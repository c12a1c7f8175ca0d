"""The transitions of several sagas, stored with a few statements for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, or_

from tracing.sagas.context import SAGA_OUTCOMES, STEP_OK, STEP_OUTCOMES
from tracing.sql.saga_writes import (
    COMPENSATED,
    ENDED,
    STARTED,
    USER,
    bounded_id,
    storable,
    total_row,
)
from tracing.sql.upserts import Upsert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection

    from tracing.sagas.context import SagaContext, SagaOutcome, StepOutcome
    from tracing.sql.tables import SagaTables


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaMove:
    """One transition of a saga. Times are unix ns.

    Attributes:
        saga_id: The saga.
        state: Its new state: one of a few fixed words. At the end, its outcome is its state.
        at_ns: When it moved.
        started: Its context, if it starts with this transition.
        deadline_ns: Its deadline; `None` leaves it as it is.
        reason: Why it is compensated; `None` leaves it as it is.
        ended_step: The step that has ended.
        step_outcome: How that step has ended.
        begun_step: The step that was requested, perhaps once more.
        attempts: How often that step was requested.
        compensation: Whether the ended step is a compensation.
        begins_compensation: Whether the requested step is a compensation.
        outcome: How the saga has ended, which is final.

    Raises:
        ValueError: An outcome is none.
    """

    saga_id: str | UUID | int
    state: str
    at_ns: int
    started: SagaContext | None = None
    deadline_ns: int | None = None
    reason: str | None = None
    ended_step: str | None = None
    step_outcome: StepOutcome = STEP_OK
    begun_step: str | None = None
    attempts: int = 1
    compensation: bool = False
    begins_compensation: bool = False
    outcome: SagaOutcome | None = None

    def __post_init__(self) -> None:
        """Check the outcomes."""
        if self.step_outcome not in STEP_OUTCOMES:
            raise ValueError(f"{self.step_outcome!r} is not an outcome of a step")
        if self.outcome is not None and self.outcome not in SAGA_OUTCOMES:
            raise ValueError(f"{self.outcome!r} is not an outcome of a saga")


class SagaMoves:
    """Stores transitions in the tables of `SqlSagas`.

    Args:
        tables: The tables.

    Thread safety: any number of threads, each with its own connection.
    """

    def __init__(self, tables: SagaTables) -> None:
        self._tables = tables
        self._sagas = Upsert(USER, self._upsert_saga)
        self._steps = Upsert(USER, self._upsert_step)
        self._totals = Upsert(USER, self._upsert_total)

    def record_in(
        self, connection: Connection, saga: str, moves: Sequence[SagaMove]
    ) -> list[int | None]:
        """Store transitions; see `SqlSagas.record_in`."""
        began: list[int | None] = []
        totals: list[dict[str, object]] = []
        for turn in _turns(moves):
            began += self._turn(connection, saga, turn, totals)
        if totals:
            connection.execute(self._totals.on(connection), totals)
        return began

    def _turn(
        self,
        connection: Connection,
        saga: str,
        moves: Sequence[SagaMove],
        totals: list[dict[str, object]],
    ) -> list[int | None]:
        """Store transitions of different sagas; note what to add to the totals."""
        moved = {
            each.saga_id
            for each in connection.execute(
                self._sagas.on(connection), [_saga_row(saga, each) for each in moves]
            )
        }
        steps = [row for each in moves for row in _step_rows(saga, each)]
        begun = (
            {
                (row.saga_id, row.step): row.started_ns
                for row in connection.execute(self._steps.on(connection), steps)
            }
            if steps
            else {}
        )
        for each in moves:
            if bounded_id(each.saga_id) in moved:
                if each.started is not None:
                    totals.append(total_row(saga, each.saga_id, STARTED))
                if each.outcome is not None:
                    totals.append(total_row(saga, each.saga_id, ENDED, each.outcome))
            ended = each.ended_step if each.compensation and each.step_outcome == STEP_OK else None
            if ended is not None and (bounded_id(each.saga_id), ended) in begun:
                totals.append(total_row(saga, each.saga_id, COMPENSATED, ended))
        return [begun.get((bounded_id(each.saga_id), each.ended_step)) for each in moves]

    def _upsert_saga(self, insert: Any) -> Any:
        table = self._tables.sagas
        statement, columns = insert(table), table.c
        new = statement.excluded
        return statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={
                "state": new.state,
                # A step that is requested once more does not begin the wait for it anew.
                "moved_ns": case(
                    (columns.state == new.state, columns.moved_ns), else_=new.moved_ns
                ),
                "ended_ns": new.ended_ns,
                "outcome": new.outcome,
                "deadline_ns": func.coalesce(new.deadline_ns, columns.deadline_ns),
                "reason": func.coalesce(new.reason, columns.reason),
            },
            # A start that comes again changes nothing, and neither does what follows an end.
            where=columns.ended_ns.is_(None) & new.context.is_(None),
        ).returning(columns.saga_id)

    def _upsert_step(self, insert: Any) -> Any:
        table = self._tables.steps
        statement, columns = insert(table), table.c
        new = statement.excluded
        return statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={
                "attempts": case((new.ended_ns.is_(None), new.attempts), else_=columns.attempts),
                "ended_ns": func.coalesce(columns.ended_ns, new.ended_ns),
                "outcome": func.coalesce(columns.outcome, new.outcome),
            },
            # The first end counts; a step that was requested once more has no new end.
            where=or_(columns.ended_ns.is_(None), new.ended_ns.is_(None)),
        ).returning(columns.saga_id, columns.step, columns.started_ns)

    def _upsert_total(self, insert: Any) -> Any:
        table = self._tables.totals
        return insert(table).on_conflict_do_update(
            index_elements=list(table.primary_key.columns), set_={"number": table.c.number + 1}
        )


def _turns(moves: Sequence[SagaMove]) -> list[list[SagaMove]]:
    """Return the moves in groups, each with consecutive moves of different sagas."""
    turns: list[list[SagaMove]] = []
    seen: set[str] = set()
    for each in moves:
        saga_id = bounded_id(each.saga_id)
        if not turns or saga_id in seen:
            turns.append([])
            seen.clear()
        seen.add(saga_id)
        turns[-1].append(each)
    return turns


def _saga_row(saga: str, move: SagaMove) -> dict[str, object]:
    context = move.started
    return {
        "saga": saga,
        "saga_id": bounded_id(move.saga_id),
        "state": move.state if move.outcome is None else move.outcome,
        "context": None if context is None else str(context),
        "started_ns": None if context is None else context.started_ns,
        "deadline_ns": move.deadline_ns,
        "moved_ns": move.at_ns if context is None else context.started_ns,
        "ended_ns": None if move.outcome is None else move.at_ns,
        "outcome": move.outcome,
        "reason": None if move.reason is None else storable(move.reason),
    }


def _step_rows(saga: str, move: SagaMove) -> list[dict[str, object]]:
    key = {"saga": saga, "saga_id": bounded_id(move.saga_id)}
    rows: list[dict[str, object]] = []
    if move.ended_step is not None:
        rows.append(
            {
                **key,
                "step": move.ended_step,
                "compensation": move.compensation,
                "attempts": 1,
                "started_ns": None,
                "ended_ns": move.at_ns,
                "outcome": move.step_outcome,
            }
        )
    if move.begun_step is not None:
        rows.append(
            {
                **key,
                "step": move.begun_step,
                "compensation": move.begins_compensation,
                "attempts": move.attempts,
                "started_ns": move.at_ns,
                "ended_ns": None,
                "outcome": None,
            }
        )
    return rows
