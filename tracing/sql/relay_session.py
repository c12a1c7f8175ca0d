"""A relay's access to its database, and the lock that admits one relay at a time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Text, func, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tracing.core.log import EventLog
from tracing.sql.outbox_rows import place_of
from tracing.sql.relay_lock import SqliteRelayLock
from tracing.sql.transactions import transactions_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing.sql.transactions import Transactions

Result = TypeVar("Result")

_logger = EventLog("tracing")


class RelaySession:
    """Runs transactions while holding the lock of the outbox.

    On PostgreSQL that is an advisory lock. It belongs to a connection, so the session keeps one of
    the engine's: when the connection ends, so does the lock, and another relay may take over. On
    SQLite a file is locked for as long as the session lasts.

    Args:
        engine: The database.
        table: The outbox's table, which gives the lock its name.
    """

    def __init__(self, engine: AsyncEngine | Transactions, table: Table) -> None:
        self._transactions = transactions_on(engine)
        self._table = table
        database = self._transactions.engine
        asyncio_engine = database if isinstance(database, AsyncEngine) else None
        plain = database.sync_engine if isinstance(database, AsyncEngine) else database
        # The constructor of the relay admits PostgreSQL only with an asyncio engine.
        self._locking = asyncio_engine if plain.dialect.name == "postgresql" else None
        self._plain = plain
        self._file_lock = SqliteRelayLock(plain, table)
        # The name includes the schema: tenants of one database may each have an outbox.
        schema = func.current_schema() if table.schema is None else literal(table.schema, Text)
        name = func.concat("pipeline-tracing:", schema, ".", literal(table.name, Text))
        number = func.hashtextextended(name, 0)
        self._lock = select(func.pg_try_advisory_lock(number))
        self._unlock = select(func.pg_advisory_unlock(number))
        self._connection: AsyncConnection | None = None
        self._stands_by = False

    @property
    def outbox(self) -> tuple[object, str]:
        """The database and the table of the outbox; see `place_of`."""
        return place_of(self._plain, self._table)

    @property
    def exclusive(self) -> bool:
        """Whether the lock ends with the connection."""
        return self._locking is not None

    async def run(self, work: Callable[[Connection], Result], *, writes: bool) -> Result | None:
        """Call a function in a transaction; on SQLite with a plain engine, in one hop.

        Args:
            work: The function.
            writes: Whether it writes; else there is nothing to commit.

        Returns:
            What the function returns; `None` while another relay has the lock, on PostgreSQL.

        Raises:
            OtherRelayError: Another relay has the lock, on SQLite.
        """
        if self._locking is not None:
            return await self._run_locked(self._locking, work)

        def locked(connection: Connection) -> Result:
            self._file_lock.acquire(connection)
            return work(connection)

        run = self._transactions.run if writes else self._transactions.read
        return await run(locked)

    async def _run_locked(
        self, engine: AsyncEngine, work: Callable[[Connection], Result]
    ) -> Result | None:
        if self._connection is None:
            self._connection = await self._locked(engine)
            self._note(stands_by=self._connection is None)
        if self._connection is None:
            return None
        try:
            async with self._connection.begin():
                return await self._connection.run_sync(work)
        except BaseException:
            await self._give_up()
            raise

    async def close(self) -> None:
        """Release the lock and the connection."""
        self._file_lock.release()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            # The connection returns to the pool, and would keep its lock there.
            await connection.execute(self._unlock)
            await connection.commit()
        except BaseException:
            await connection.invalidate()
            raise
        finally:
            await connection.close()

    def _note(self, *, stands_by: bool) -> None:
        """Log when this relay begins to stand by, and when it takes over."""
        if stands_by == self._stands_by:
            return
        self._stands_by = stands_by
        if stands_by:
            message = "another relay sends the records of %s; this one stands by"
        else:
            message = "this relay takes over: it sends the records of %s from now on"
        _logger.info(message, self._table.fullname)

    async def _locked(self, engine: AsyncEngine) -> AsyncConnection | None:
        connection = await engine.connect()
        try:
            locked = await connection.scalar(self._lock)
            await connection.commit()
        except BaseException:
            await connection.invalidate()
            await connection.close()
            raise
        if locked:
            return connection
        await connection.close()
        return None

    async def _give_up(self) -> None:
        """Drop the connection, and the lock with it: its state is unknown."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                await connection.invalidate()
            with contextlib.suppress(Exception):
                await connection.close()
