"""The events of a `SagaObserver`, in tables that do not depend on the order of the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import bindparam, select, update

from tracing.sagas.context import STEP_OK, SagaContext
from tracing.sagas.flow import STARTED_STATE
from tracing.sagas.store import SagaHistory
from tracing.sql.saga_writes import ENDED, STARTED, USER, bounded_id
from tracing.sql.sagas import SqlSagas
from tracing.sql.transactions import transactions_on
from tracing.sql.upserts import Upsert

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing.sagas.context import SagaOutcome
    from tracing.sagas.flow import FlowEvent
    from tracing.sagas.store import SagaHealth
    from tracing.sql.tables import SagaTables
    from tracing.sql.transactions import Transactions


class SqlSagaLog:
    """A `SagaLog` for SQLAlchemy, on the tables of `SqlSagas`.

    Args:
        engine: The database; create the tables before the first event is stored.
        metadata: The metadata of the tables; by default a new one.
        prefix: The prefix of the tables' names.

    Task safety: any number of tasks of one event loop.
    """

    def __init__(
        self,
        engine: AsyncEngine | Transactions,
        *,
        metadata: MetaData | None = None,
        prefix: str = "saga",
    ) -> None:
        self._transactions = transactions_on(engine)
        self._sagas = SqlSagas(metadata=metadata, prefix=prefix)
        self._health = self._sagas.on(self._transactions)
        sagas, steps = self.tables.sagas, self.tables.steps
        this = sagas.c.saga == bindparam("of_saga"), sagas.c.saga_id == bindparam("of_id")
        self._insert = Upsert(USER, lambda insert: insert(sagas).on_conflict_do_nothing())
        self._select = select(*sagas.c).where(*this).with_for_update()
        self._update = update(sagas).where(*this).returning(*sagas.c)
        self._insert_step = Upsert(USER, lambda insert: insert(steps).on_conflict_do_nothing())
        its_step = steps.c.saga == bindparam("of_saga"), steps.c.saga_id == bindparam("of_id")
        self._set_step_back = update(steps).where(
            *its_step, steps.c.step == bindparam("of_step"), steps.c.ended_ns > bindparam("at_ns")
        )
        self._steps = (
            select(steps.c.step, steps.c.ended_ns)
            .where(*its_step, steps.c.ended_ns <= bindparam("until_ns"))
            .order_by(steps.c.ended_ns, steps.c.step)
        )

    @property
    def tables(self) -> SagaTables:
        """The tables."""
        return self._sagas.tables

    async def health(self, saga: str, now_ns: int) -> SagaHealth:
        """Read the health of the instances of one flow; see `SagaHealthSource`."""
        return await self._health.health(saga, now_ns)

    async def note(
        self,
        saga: str,
        event: FlowEvent,
        *,
        context: SagaContext | None = None,
        deadline_ns: int | None = None,
    ) -> SagaHistory | None:
        """Store an event in a transaction of its own; see `SagaLog`.

        Raises:
            sqlalchemy.exc.DBAPIError: The database failed.
        """
        return await self._transactions.run(self._note, saga, event, context, deadline_ns)

    def _note(
        self,
        connection: Connection,
        saga: str,
        event: FlowEvent,
        context: SagaContext | None,
        deadline_ns: int | None,
    ) -> SagaHistory | None:
        row = self._row(connection, saga, event)
        new_step = event.step is not None and self._keep_step(connection, saga, event, event.step)
        changes = _changes(row, event, context, deadline_ns)
        if row.started_ns is None and "started_ns" in changes:
            self._sagas.add_in(connection, saga, event.saga_id, STARTED)
        if changes:
            changed = connection.execute(self._update, _this(row) | changes)
            return self._ended(connection, row, changed.one())
        complete = row.started_ns is not None and row.ended_ns is not None
        if new_step and complete and event.at_ns <= row.ended_ns:
            return self._history(connection, row, only=event.step)
        return None

    async def forget(self, saga: str, *, ended_before_ns: int | None = None) -> None:
        """Delete instances that ended before a time, unix ns; the totals still count them.

        Without a time, delete everything of the flow, totals included, to rebuild it.
        """
        await self._transactions.run(self._sagas.forget_in, saga, ended_before_ns=ended_before_ns)

    def _row(self, connection: Connection, saga: str, event: FlowEvent) -> Any:
        """Return the instance's row, locked; insert it if it does not exist."""
        saga_id = bounded_id(event.saga_id)
        first = {
            "saga": saga, "saga_id": saga_id, "state": event.state, "moved_ns": event.at_ns,
        }  # fmt: skip
        connection.execute(self._insert.on(connection), first)
        return connection.execute(self._select, {"of_saga": saga, "of_id": saga_id}).one()

    def _keep_step(self, connection: Connection, saga: str, event: FlowEvent, step: str) -> bool:
        """Store when a step ended; return whether the step is new."""
        saga_id = bounded_id(event.saga_id)
        row = {
            "saga": saga,
            "saga_id": saga_id,
            "step": step,
            "compensation": False,
            "attempts": 1,
            "ended_ns": event.at_ns,
            "outcome": STEP_OK,
        }
        inserted = connection.execute(self._insert_step.on(connection), row)
        if not inserted.rowcount:
            # If a step was done twice, the first time counts.
            earlier = {"of_saga": saga, "of_id": saga_id, "of_step": step, "at_ns": event.at_ns}
            connection.execute(self._set_step_back, earlier | {"ended_ns": event.at_ns})
        return bool(inserted.rowcount)

    def _ended(self, connection: Connection, before: Any, after: Any) -> SagaHistory | None:
        """Return the whole history if start and end are both known only now."""
        if after.started_ns is None or after.ended_ns is None:
            return None
        if before.started_ns is not None and before.ended_ns is not None:
            return None
        self._sagas.add_in(connection, after.saga, after.saga_id, ENDED, after.outcome)
        return self._history(connection, after)

    def _history(
        self, connection: Connection, row: Any, *, only: str | None = None
    ) -> SagaHistory | None:
        """Return what to report of an instance: everything, or only a late step."""
        context = SagaContext.parse(row.context)
        if context is None:
            return None
        rows = connection.execute(self._steps, _this(row) | {"until_ns": row.ended_ns})
        history: list[tuple[str, int, int]] = []
        previous_ns = row.started_ns
        for step, ended_ns in rows:
            history.append((step, min(previous_ns, ended_ns), ended_ns))
            previous_ns = max(previous_ns, ended_ns)
        return SagaHistory(
            context=context,
            outcome=cast("SagaOutcome", row.outcome),
            ended_ns=row.ended_ns,
            deadline_ns=row.deadline_ns,
            steps=tuple(step for step in history if only is None or step[0] == only),
            end_reported=only is not None,
        )


def _this(row: Any) -> dict[str, object]:
    return {"of_saga": row.saga, "of_id": row.saga_id}


def _changes(
    row: Any, event: FlowEvent, context: SagaContext | None, deadline_ns: int | None
) -> dict[str, object]:
    """Return an event's changes of an instance's row; of repeated events, the first one counts."""
    changes: dict[str, object] = {}
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
