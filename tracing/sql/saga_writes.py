"""The statements that record sagas, each made once, in plain functions for one transaction."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from sqlalchemy import MetaData, and_, bindparam, case, delete, or_, select, update

from tracing.core.text import text_of
from tracing.headers.identity import bounded
from tracing.sagas.context import SAGA_OUTCOMES, STEP_OK, STEP_OUTCOMES
from tracing.sql.tables import MAX_REASON, saga_tables
from tracing.sql.upserts import Upsert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection, Table

    from tracing.sagas.context import SagaContext, SagaOutcome, StepOutcome
    from tracing.sql.tables import SagaTables

USER: Final = "SqlSagas works"
STARTED: Final = "started"
ENDED: Final = "ended"
COMPENSATED: Final = "compensated"
_SLOTS: Final = 16


class SagaWrites:
    """Records the progress of sagas with a plain connection: the base of `SqlSagas`.

    Each method does what the one without `_in` does. A function that calls them can run a whole
    transaction in a worker thread; see `Transactions`.

    Args:
        metadata: The metadata of the tables; by default a new one.
        prefix: The prefix of the tables' names.

    Task and thread safety: any number of tasks and threads, each with its own connection. A
    transaction should move one saga only.
    """

    def __init__(self, *, metadata: MetaData | None = None, prefix: str = "saga") -> None:
        self._tables = saga_tables(MetaData() if metadata is None else metadata, prefix)
        sagas, steps, totals = self._tables.sagas, self._tables.steps, self._tables.totals
        self._start = Upsert(USER, lambda insert: insert(sagas).on_conflict_do_nothing())
        self._change = update(sagas).where(*_named(sagas), sagas.c.ended_ns.is_(None))
        moved = case(
            (sagas.c.state == bindparam("to_state"), sagas.c.moved_ns), else_=bindparam("at_ns")
        )
        self._move = self._change.values(state=bindparam("to_state"), moved_ns=moved)
        self._begin_step = Upsert(USER, lambda insert: _step_begun(insert(steps), steps))
        self._end_step = (
            update(steps)
            .where(*_named(steps), steps.c.step == bindparam("of_step"), steps.c.ended_ns.is_(None))
            .returning(steps.c.started_ns, steps.c.compensation)
        )
        self._count = Upsert(
            USER,
            lambda insert: insert(totals).on_conflict_do_update(
                index_elements=list(totals.primary_key.columns),
                set_={"number": totals.c.number + 1},
            ),
        )

    @property
    def tables(self) -> SagaTables:
        """The tables; create them before the first saga starts."""
        return self._tables

    def start_in(
        self,
        connection: Connection,
        saga: str,
        context: SagaContext,
        *,
        state: str,
        deadline_ns: int | None = None,
    ) -> bool:
        """Record that a saga starts; return whether it is new."""
        row = {
            "saga": saga,
            "saga_id": bounded_id(context.saga_id),
            "state": state,
            "context": str(context),
            "started_ns": context.started_ns,
            "deadline_ns": deadline_ns,
            "moved_ns": context.started_ns,
        }
        new = bool(connection.execute(self._start.on(connection), row).rowcount)
        if new:
            self.add_in(connection, saga, context.saga_id, STARTED)
        return new

    def move_in(
        self,
        connection: Connection,
        saga: str,
        saga_id: str | UUID | int,
        state: str,
        *,
        reason: str | None = None,
        moved_ns: int | None = None,
    ) -> None:
        """Record a saga's new state, and the reason if it is compensated; an ended saga stays."""
        values = {"to_state": state, "at_ns": time_ns() if moved_ns is None else moved_ns}
        connection.execute(self._move, _of(saga, saga_id) | values | _reason(reason))

    def begin_step_in(
        self,
        connection: Connection,
        saga: str,
        saga_id: str | UUID | int,
        step: str,
        *,
        compensation: bool = False,
        attempts: int = 1,
        started_ns: int | None = None,
    ) -> None:
        """Record that a step was requested; for a repeated request, update only `attempts`."""
        row = {
            "saga": saga,
            "saga_id": bounded_id(saga_id),
            "step": step,
            "compensation": compensation,
            "attempts": attempts,
            "started_ns": time_ns() if started_ns is None else started_ns,
        }
        connection.execute(self._begin_step.on(connection), row)

    def end_step_in(
        self,
        connection: Connection,
        saga: str,
        saga_id: str | UUID | int,
        step: str,
        *,
        outcome: StepOutcome,
        ended_ns: int | None = None,
    ) -> int | None:
        """Record that a step has ended; return when it was requested, unix ns.

        Raises:
            ValueError: `outcome` is not an outcome of a step.
        """
        if outcome not in STEP_OUTCOMES:
            raise ValueError(f"{outcome!r} is not an outcome of a step")
        values = {"outcome": outcome, "ended_ns": time_ns() if ended_ns is None else ended_ns}
        ended = connection.execute(self._end_step, _of(saga, saga_id) | {"of_step": step} | values)
        row = ended.one_or_none()
        if row is None:
            return None
        if row.compensation and outcome == STEP_OK:
            self.add_in(connection, saga, saga_id, COMPENSATED, step)
        started_ns: int = row.started_ns
        return started_ns

    def end_in(
        self,
        connection: Connection,
        saga: str,
        saga_id: str | UUID | int,
        outcome: SagaOutcome,
        *,
        reason: str | None = None,
        ended_ns: int | None = None,
    ) -> bool:
        """Record that a saga has ended, which is final; return whether it was active before.

        Raises:
            ValueError: `outcome` is not an outcome of a saga.
        """
        if outcome not in SAGA_OUTCOMES:
            raise ValueError(f"{outcome!r} is not an outcome of a saga")
        now_ns = time_ns() if ended_ns is None else ended_ns
        values = {"state": outcome, "outcome": outcome, "ended_ns": now_ns, "moved_ns": now_ns}
        changed = connection.execute(self._change, _of(saga, saga_id) | values | _reason(reason))
        ended = bool(changed.rowcount)
        if ended:
            self.add_in(connection, saga, saga_id, ENDED, outcome)
        return ended

    def forget_in(
        self, connection: Connection, saga: str, *, ended_before_ns: int | None = None
    ) -> None:
        """Delete old sagas, or without a time everything of that name."""
        tables = self._tables
        if ended_before_ns is None:
            for table in (tables.sagas, tables.steps, tables.totals):
                connection.execute(delete(table).where(table.c.saga == saga))
            return
        columns = tables.sagas.c
        never_started = and_(columns.started_ns.is_(None), columns.moved_ns < ended_before_ns)
        old = (
            columns.saga == saga,
            or_(
                never_started,
                and_(columns.started_ns.is_not(None), columns.ended_ns < ended_before_ns),
            ),
        )
        ids = select(tables.sagas.c.saga_id).where(*old)
        connection.execute(
            delete(tables.steps).where(tables.steps.c.saga == saga, tables.steps.c.saga_id.in_(ids))
        )
        connection.execute(delete(tables.sagas).where(*old))

    def add_in(
        self,
        connection: Connection,
        saga: str,
        saga_id: str | UUID | int,
        figure: str,
        label: str = "",
    ) -> None:
        """Add one to a total."""
        connection.execute(self._count.on(connection), total_row(saga, saga_id, figure, label))

    def add_all_in(
        self, connection: Connection, saga: str, figures: Sequence[tuple[str, str, str]]
    ) -> None:
        """Add one to totals, each given by the id of a saga, a figure and a label."""
        if figures:
            rows = [total_row(saga, *each) for each in figures]
            connection.execute(self._count.on(connection), rows)


def bounded_id(saga_id: str | UUID | int) -> str:
    """Return the stored form of a saga's id: the SHA-256 of an id that is too long.

    Raises:
        TypeError: The id is neither text nor a UUID nor an int.
    """
    return bounded(_encoded(saga_id))


def total_row(
    saga: str, saga_id: str | UUID | int, figure: str, label: str = ""
) -> dict[str, object]:
    """Return the row that adds one to a total."""
    # Chosen by saga, so that all transactions take their locks in the same order.
    slot = crc32(_encoded(saga_id)) % _SLOTS
    return {"saga": saga, "figure": figure, "label": label, "number": 1, "slot": slot}


def storable(reason: str) -> str:
    """Return a text that every database accepts."""
    text = reason[:MAX_REASON].encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _encoded(saga_id: str | UUID | int) -> bytes:
    return text_of(saga_id, "saga_id").encode("utf-8", "backslashreplace")


def _named(table: Table) -> tuple[Any, ...]:
    return table.c.saga == bindparam("of_saga"), table.c.saga_id == bindparam("of_id")


def _of(saga: str, saga_id: str | UUID | int) -> dict[str, Any]:
    return {"of_saga": saga, "of_id": bounded_id(saga_id)}


def _step_begun(insert: Any, steps: Table) -> Any:
    return insert.on_conflict_do_update(
        index_elements=[steps.c.saga, steps.c.saga_id, steps.c.step],
        set_={"attempts": insert.excluded.attempts},
    )


def _reason(reason: str | None) -> dict[str, str]:
    """Return the value to store of a reason."""
    if reason is None:
        return {}
    return {"reason": storable(reason)}
