"""The events of a `SagaObserver`, in tables that do not depend on the order of the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import select, update

from tracing.sagas.context import STEP_OK, SagaContext
from tracing.sagas.flow import STARTED_STATE
from tracing.sagas.store import SagaHistory
from tracing.sql.sagas import ENDED, STARTED, USER, SqlSagas, bounded_id
from tracing.sql.upserts import insert_on

if TYPE_CHECKING:
    from sqlalchemy import MetaData
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tracing.sagas.context import SagaOutcome
    from tracing.sagas.flow import FlowEvent
    from tracing.sagas.store import SagaHealth
    from tracing.sql.tables import SagaTables


class SqlSagaLog:
    """A `SagaLog` for SQLAlchemy, on the tables of `SqlSagas`.

    Args:
        engine: The database; create the tables before the first event is stored.
        metadata: The metadata of the tables; by default a new one.
        prefix: The prefix of the tables' names.

    Task safety: any number of tasks of one event loop.
    """

    def __init__(
        self, engine: AsyncEngine, *, metadata: MetaData | None = None, prefix: str = "saga"
    ) -> None:
        self._engine = engine
        self._sagas = SqlSagas(metadata=metadata, prefix=prefix)
        self._health = self._sagas.on(engine)

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
        async with self._engine.begin() as connection:
            row = await self._row(connection, saga, event)
            new_step = event.step is not None and await self._keep_step(
                connection, saga, event, event.step
            )
            changes = _changes(row, event, context, deadline_ns)
            if row.started_ns is None and "started_ns" in changes:
                await self._sagas.add(connection, saga, event.saga_id, STARTED)
            if changes:
                sagas = self.tables.sagas
                changed = await connection.execute(
                    update(sagas)
                    .where(sagas.c.saga == saga, sagas.c.saga_id == row.saga_id)
                    .values(changes)
                    .returning(*sagas.c)
                )
                return await self._ended(connection, row, changed.one())
            complete = row.started_ns is not None and row.ended_ns is not None
            if new_step and complete and event.at_ns <= row.ended_ns:
                return await self._history(connection, row, only=event.step)
            return None

    async def forget(self, saga: str, *, ended_before_ns: int | None = None) -> None:
        """Delete instances that ended before a time, unix ns; the totals still count them.

        Without a time, delete everything of the flow, totals included, to rebuild it.
        """
        async with self._engine.begin() as connection:
            await self._sagas.forget(connection, saga, ended_before_ns=ended_before_ns)

    async def _row(self, connection: AsyncConnection, saga: str, event: FlowEvent) -> Any:
        """Return the instance's row, locked; insert it if it does not exist."""
        sagas = self.tables.sagas
        key = {"saga": saga, "saga_id": bounded_id(event.saga_id)}
        first = {**key, "state": event.state, "moved_ns": event.at_ns}
        await connection.execute(insert_on(connection, USER)(sagas).on_conflict_do_nothing(), first)
        rows = await connection.execute(
            select(*sagas.c)
            .where(sagas.c.saga == key["saga"], sagas.c.saga_id == key["saga_id"])
            .with_for_update()
        )
        return rows.one()

    async def _keep_step(
        self, connection: AsyncConnection, saga: str, event: FlowEvent, step: str
    ) -> bool:
        """Store when a step ended; return whether the step is new."""
        row = {
            "saga": saga,
            "saga_id": bounded_id(event.saga_id),
            "step": step,
            "compensation": False,
            "attempts": 1,
            "ended_ns": event.at_ns,
            "outcome": STEP_OK,
        }
        steps = self.tables.steps
        inserted = await connection.execute(
            insert_on(connection, USER)(steps).on_conflict_do_nothing(), row
        )
        if not inserted.rowcount:
            # If a step was done twice, the first time counts.
            await connection.execute(
                update(steps)
                .where(
                    steps.c.saga == saga,
                    steps.c.saga_id == row["saga_id"],
                    steps.c.step == step,
                    steps.c.ended_ns > event.at_ns,
                )
                .values(ended_ns=event.at_ns)
            )
        return bool(inserted.rowcount)

    async def _ended(
        self, connection: AsyncConnection, before: Any, after: Any
    ) -> SagaHistory | None:
        """Return the whole history if start and end are both known only now."""
        if after.started_ns is None or after.ended_ns is None:
            return None
        if before.started_ns is not None and before.ended_ns is not None:
            return None
        await self._sagas.add(connection, after.saga, after.saga_id, ENDED, after.outcome)
        return await self._history(connection, after)

    async def _history(
        self, connection: AsyncConnection, row: Any, *, only: str | None = None
    ) -> SagaHistory | None:
        """Return what to report of an instance: everything, or only a late step."""
        context = SagaContext.parse(row.context)
        if context is None:
            return None
        steps = self.tables.steps.c
        rows = await connection.execute(
            select(steps.step, steps.ended_ns)
            .where(
                steps.saga == row.saga,
                steps.saga_id == row.saga_id,
                steps.ended_ns <= row.ended_ns,
            )
            .order_by(steps.ended_ns, steps.step)
        )
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
