"""Sagas in tables of the application's own database, updated in the transactions that move them."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from sqlalchemy import MetaData, and_, delete, or_, select, update

from tracing.core.text import text_of
from tracing.headers.identity import bounded
from tracing.sagas.context import SAGA_OUTCOMES, STEP_OK, STEP_OUTCOMES
from tracing.sql.saga_health import StoredSagaHealth
from tracing.sql.tables import MAX_REASON, saga_tables
from tracing.sql.upserts import insert_on

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tracing.sagas.context import SagaContext, SagaOutcome, StepOutcome
    from tracing.sagas.store import SagaHealthSource
    from tracing.sql.tables import SagaTables

USER: Final = "SqlSagas works"
_SLOTS: Final = 16
STARTED: Final = "started"
ENDED: Final = "ended"
COMPENSATED: Final = "compensated"


class SqlSagas:
    """Records the progress of sagas for people and metrics, in the orchestrator's transactions.

    It makes no decisions and does not replace the orchestrator's own state. Because both change in
    the same transaction, the record is correct after every crash.

    Args:
        metadata: The metadata of the tables; by default a new one.
        prefix: The prefix of the tables' names.

    Task safety: any number of tasks, each with its own connection. A transaction should move one
    saga only.
    """

    def __init__(self, *, metadata: MetaData | None = None, prefix: str = "saga") -> None:
        self._tables = saga_tables(MetaData() if metadata is None else metadata, prefix)

    @property
    def tables(self) -> SagaTables:
        """The tables; create them before the first saga starts."""
        return self._tables

    def on(self, engine: AsyncEngine) -> SagaHealthSource:
        """Return the source from which a `SagaTracker` reads health."""
        return StoredSagaHealth(self._tables, engine)

    async def start(
        self,
        connection: AsyncConnection,
        saga: str,
        context: SagaContext,
        *,
        state: str,
        deadline_ns: int | None = None,
    ) -> bool:
        """Record that a saga starts.

        Args:
            connection: Inside the transaction that starts the saga.
            saga: The name of the sagas.
            context: The saga's context, with its id and start time.
            state: The saga's state: one of a few fixed words.
            deadline_ns: The saga's deadline, unix ns.

        Returns:
            Whether the saga is new.
        """
        row = {
            "saga": saga,
            "saga_id": bounded_id(context.saga_id),
            "state": state,
            "context": str(context),
            "started_ns": context.started_ns,
            "deadline_ns": deadline_ns,
            "moved_ns": context.started_ns,
        }
        insert = insert_on(connection, USER)
        result = await connection.execute(insert(self._tables.sagas).on_conflict_do_nothing(), row)
        if result.rowcount:
            await self.add(connection, saga, context.saga_id, STARTED)
        return bool(result.rowcount)

    async def move(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        state: str,
        *,
        reason: str | None = None,
        moved_ns: int | None = None,
    ) -> None:
        """Record a saga's new state, and the reason if it is compensated; an ended saga stays."""
        values: dict[str, str | int] = {"state": state}
        values["moved_ns"] = time_ns() if moved_ns is None else moved_ns
        if reason is not None:
            values["reason"] = _storable(reason)
        sagas = self._tables.sagas
        await connection.execute(
            update(sagas).where(*self._is(saga, saga_id), sagas.c.ended_ns.is_(None)).values(values)
        )

    async def begin_step(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        step: str,
        *,
        compensation: bool = False,
        attempts: int = 1,
        started_ns: int | None = None,
    ) -> None:
        """Record that a step was requested; for a repeated request, update only `attempts`."""
        steps = self._tables.steps
        row = {
            "saga": saga,
            "saga_id": bounded_id(saga_id),
            "step": step,
            "compensation": compensation,
            "attempts": attempts,
            "started_ns": time_ns() if started_ns is None else started_ns,
        }
        insert = insert_on(connection, USER)(steps)
        upsert = insert.on_conflict_do_update(
            index_elements=[steps.c.saga, steps.c.saga_id, steps.c.step],
            set_={"attempts": insert.excluded.attempts},
        )
        await connection.execute(upsert, row)

    async def end_step(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        step: str,
        *,
        outcome: StepOutcome,
        ended_ns: int | None = None,
    ) -> int | None:
        """Record that a step has ended.

        Returns:
            When the step was requested, unix ns; `None` if it had ended before or never began.

        Raises:
            ValueError: `outcome` is not an outcome of a step.
        """
        if outcome not in STEP_OUTCOMES:
            raise ValueError(f"{outcome!r} is not an outcome of a step")
        steps = self._tables.steps
        ended = await connection.execute(
            update(steps)
            .where(
                *self._is(saga, saga_id, steps), steps.c.step == step, steps.c.ended_ns.is_(None)
            )
            .values(outcome=outcome, ended_ns=time_ns() if ended_ns is None else ended_ns)
            .returning(steps.c.started_ns, steps.c.compensation)
        )
        row = ended.one_or_none()
        if row is None:
            return None
        if row.compensation and outcome == STEP_OK:
            await self.add(connection, saga, saga_id, COMPENSATED, step)
        started_ns: int = row.started_ns
        return started_ns

    async def end(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        outcome: SagaOutcome,
        *,
        reason: str | None = None,
        ended_ns: int | None = None,
    ) -> bool:
        """Record that a saga has ended, which is final.

        Returns:
            Whether the saga was active before.

        Raises:
            ValueError: `outcome` is not an outcome of a saga.
        """
        if outcome not in SAGA_OUTCOMES:
            raise ValueError(f"{outcome!r} is not an outcome of a saga")
        sagas = self._tables.sagas
        now_ns = time_ns() if ended_ns is None else ended_ns
        values: dict[str, str | int] = {"state": outcome, "outcome": outcome}
        values |= {"ended_ns": now_ns, "moved_ns": now_ns}
        if reason is not None:
            values["reason"] = _storable(reason)
        result = await connection.execute(
            update(sagas).where(*self._is(saga, saga_id), sagas.c.ended_ns.is_(None)).values(values)
        )
        if result.rowcount:
            await self.add(connection, saga, saga_id, ENDED, outcome)
        return bool(result.rowcount)

    async def forget(
        self, connection: AsyncConnection, saga: str, *, ended_before_ns: int | None = None
    ) -> None:
        """Delete the sagas that ended before a time, unix ns; the totals still count them.

        Also delete instances of an observed flow whose start is missing and that last moved before
        that time. A deleted saga counts as new when its start is delivered again: keep sagas for
        longer than the topics retain their records.

        Without a time, delete everything of that name, totals included, to rebuild it.
        """
        tables = self._tables
        if ended_before_ns is None:
            for table in (tables.sagas, tables.steps, tables.totals):
                await connection.execute(delete(table).where(table.c.saga == saga))
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
        await connection.execute(
            delete(tables.steps).where(tables.steps.c.saga == saga, tables.steps.c.saga_id.in_(ids))
        )
        await connection.execute(delete(tables.sagas).where(*old))

    async def add(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        figure: str,
        label: str = "",
    ) -> None:
        """Add one to a total."""
        totals = self._tables.totals
        row = {"saga": saga, "figure": figure, "label": label, "number": 1}
        # Chosen by saga, so that all transactions take their locks in the same order.
        row["slot"] = (
            crc32(text_of(saga_id, "saga_id").encode("utf-8", "backslashreplace")) % _SLOTS
        )
        insert = insert_on(connection, USER)(totals)
        await connection.execute(
            insert.on_conflict_do_update(
                index_elements=list(totals.primary_key.columns),
                set_={"number": totals.c.number + 1},
            ),
            row,
        )

    def _is(self, saga: str, saga_id: str | UUID | int, table: Any = None) -> tuple[Any, ...]:
        columns = (self._tables.sagas if table is None else table).c
        return columns.saga == saga, columns.saga_id == bounded_id(saga_id)


def bounded_id(saga_id: str | UUID | int) -> str:
    """Return the stored form of a saga's id: the SHA-256 of an id that is too long.

    Raises:
        TypeError: The id is neither text nor a UUID nor an int.
    """
    return bounded(_encoded(saga_id))


def _encoded(saga_id: str | UUID | int) -> bytes:
    return text_of(saga_id, "saga_id").encode("utf-8", "backslashreplace")


def _storable(reason: str) -> str:
    """Return a text that every database accepts."""
    text = reason[:MAX_REASON].encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
