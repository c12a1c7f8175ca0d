"""Sagas in tables of the application's own database, told in the transactions that move them."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from sqlalchemy import MetaData, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tracing.core.text import text_of
from tracing.headers.identity import bounded
from tracing.sagas.context import SAGA_OUTCOMES, STEP_OK, STEP_OUTCOMES
from tracing.sql.saga_health import StoredSagaHealth
from tracing.sql.tables import MAX_REASON, saga_tables

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tracing.sagas.context import SagaContext, SagaOutcome, StepOutcome
    from tracing.sagas.store import SagaHealthSource
    from tracing.sql.tables import SagaTables

_INSERTS: Final[dict[str, Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_SLOTS: Final = 16
STARTED: Final = "started"
ENDED: Final = "ended"
COMPENSATED: Final = "compensated"


class SqlSagas:
    """Keeps what people and metrics want to know of sagas, in the orchestrator's transactions.

    It does not decide anything: an orchestrator's own state is its own business. What it tells
    here in the same transaction is true after every crash.

    Args:
        metadata: What the tables belong to; by default a metadata of its own.
        prefix: What the tables' names begin with.

    Task safety: any number of tasks, each with its own connection. A transaction should move one
    saga only.
    """

    def __init__(self, *, metadata: MetaData | None = None, prefix: str = "saga") -> None:
        self._tables = saga_tables(MetaData() if metadata is None else metadata, prefix)

    @property
    def tables(self) -> SagaTables:
        """The tables; they have to exist before the first saga starts."""
        return self._tables

    def on(self, engine: AsyncEngine) -> SagaHealthSource:
        """What a `SagaTracker` reads health from."""
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
        """Note that a saga starts.

        Args:
            connection: Inside the transaction that starts it.
            saga: The name of the sagas.
            context: Its context, with its id and when it starts.
            state: Where it stands: one of a few fixed words.
            deadline_ns: From when on it is overdue, unix ns.

        Returns:
            Whether it is new.
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
        insert = insert_for(connection)
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
        """Note where a saga stands now, and why if it turned back; an end stays as it is."""
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
        """Note that a step was asked for; asked for again, only how often it was."""
        steps = self._tables.steps
        row = {
            "saga": saga,
            "saga_id": bounded_id(saga_id),
            "step": step,
            "compensation": compensation,
            "attempts": attempts,
            "started_ns": time_ns() if started_ns is None else started_ns,
        }
        insert = insert_for(connection)(steps)
        again = insert.on_conflict_do_update(
            index_elements=[steps.c.saga, steps.c.saga_id, steps.c.step],
            set_={"attempts": insert.excluded.attempts},
        )
        await connection.execute(again, row)

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
        """Note that a step has ended.

        Returns:
            When it was asked for, unix ns; `None` where it had ended before, or was never begun.

        Raises:
            ValueError: `outcome` is none of a step.
        """
        if outcome not in STEP_OUTCOMES:
            raise ValueError(f"{outcome!r} is no outcome of a step")
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
        """Note that a saga has come to its end, which is final.

        Returns:
            Whether it had not ended before.

        Raises:
            ValueError: `outcome` is none of a saga.
        """
        if outcome not in SAGA_OUTCOMES:
            raise ValueError(f"{outcome!r} is no outcome of a saga")
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
        """Delete the sagas that ended before a moment, unix ns; the totals still count them.

        So do instances of an observed flow of which only later events were seen, before that.
        A saga that is forgotten is new when its start comes once more: keep them for longer than
        the topics keep their records.

        Without a moment, everything of that name goes, totals included: to build it anew.
        """
        tables = self._tables
        if ended_before_ns is None:
            for table in (tables.sagas, tables.steps, tables.totals):
                await connection.execute(delete(table).where(table.c.saga == saga))
            return
        columns = tables.sagas.c
        stray = and_(columns.started_ns.is_(None), columns.moved_ns < ended_before_ns)
        old = (
            columns.saga == saga,
            or_(stray, and_(columns.started_ns.is_not(None), columns.ended_ns < ended_before_ns)),
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
        # Chosen by saga, so that a transaction takes its locks in the same order as all others.
        row["slot"] = (
            crc32(text_of(saga_id, "saga_id").encode("utf-8", "backslashreplace")) % _SLOTS
        )
        insert = insert_for(connection)(totals)
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
    """A saga's id as it is stored: one that is too long is told by its SHA-256.

    Raises:
        TypeError: It is neither text nor a UUID nor an int.
    """
    return bounded(_encoded(saga_id))


def _encoded(saga_id: str | UUID | int) -> bytes:
    return text_of(saga_id, "saga_id").encode("utf-8", "backslashreplace")


def _storable(reason: str) -> str:
    """A text that every database takes."""
    text = reason[:MAX_REASON].encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def insert_for(connection: AsyncConnection) -> Any:
    """The `insert` of the connection's database, which knows what to do on a conflict.

    Raises:
        ValueError: It is neither SQLite nor PostgreSQL.
    """
    insert = _INSERTS.get(connection.dialect.name)
    if insert is None:
        raise ValueError(
            f"SqlSagas works on {' and '.join(_INSERTS)}, not on {connection.dialect.name}"
        )
    return insert
