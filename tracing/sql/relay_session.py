"""A relay's access to its database, and the lock that admits one relay at a time."""

from __future__ import annotations

import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Text, func, literal, select

from tracing.core.log import EventLog
from tracing.sql.relay_lock import SqliteRelayLock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_logger = EventLog("tracing")


class RelaySession:
    """Opens transactions while holding the lock of the outbox.

    On PostgreSQL that is an advisory lock. It belongs to a connection, so the session keeps one of
    the engine's: when the connection ends, so does the lock, and another relay may take over. On
    SQLite a file is locked for as long as the session lasts.

    Args:
        engine: The database.
        table: The outbox's table, which gives the lock its name.
    """

    def __init__(self, engine: AsyncEngine, table: Table) -> None:
        self._engine = engine
        self._locks = engine.dialect.name == "postgresql"
        self._file_lock = SqliteRelayLock(engine, table)
        # The name includes the schema: tenants of one database may each have an outbox.
        schema = func.current_schema() if table.schema is None else literal(table.schema, Text)
        name = func.concat("pipeline-tracing:", schema, ".", literal(table.name, Text))
        number = func.hashtextextended(name, 0)
        self._lock = select(func.pg_try_advisory_lock(number))
        self._unlock = select(func.pg_advisory_unlock(number))
        self._connection: AsyncConnection | None = None
        self._table_name = table.fullname
        self._stands_by = False

    @property
    def exclusive(self) -> bool:
        """Whether the lock ends with the connection."""
        return self._locks

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection | None]:
        """Open a transaction; yield `None` while another relay has the lock, on PostgreSQL.

        Raises:
            OtherRelayError: Another relay has the lock, on SQLite.
        """
        if not self._locks:
            async with self._engine.begin() as connection:
                await self._file_lock.acquire(connection)
                yield connection
            return
        if self._connection is None:
            self._connection = await self._locked()
            self._note(stands_by=self._connection is None)
        if self._connection is None:
            yield None
            return
        try:
            async with self._connection.begin():
                yield self._connection
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
        _logger.info(message, self._table_name)

    async def _locked(self) -> AsyncConnection | None:
        connection = await self._engine.connect()
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
