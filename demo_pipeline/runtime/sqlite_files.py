"""Databases in SQLite files: one connection each, and transactions that are one thread hop."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event

from tracing.sql import Transactions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

_BUSY_S: Final = 30

ONE_CONNECTION: Final[dict[str, Any]] = {
    "pool_size": 1,
    "max_overflow": 0,
    "connect_args": {"timeout": _BUSY_S},
    # Errors are logged, and parameters hold customers' data.
    "hide_parameters": True,
}
"""The options of an engine. SQLite has one writer at a time: with one connection, tasks queue for
it instead of failing on a locked database.
"""


@asynccontextmanager
async def one_hop(engine: AsyncEngine) -> AsyncIterator[Transactions]:
    """Return what runs the transactions of a database as plain functions.

    For an SQLite file, that is a thread with a connection of its own: SQLite has one writer at a
    time, and a transaction is one hop there and back, instead of several for each statement.
    """
    if file_of(engine) is None:
        async with Transactions(engine) as transactions:
            yield transactions
        return
    plain = create_engine(engine.url.set(drivername="sqlite"), **ONE_CONNECTION)
    event.listen(plain, "connect", write_ahead)
    try:
        async with Transactions(plain) as transactions:
            yield transactions
    finally:
        plain.dispose()


def file_of(engine: AsyncEngine) -> Path | None:
    """Return the file of an SQLite database, if its URL names one by a plain path."""
    path = engine.url.database or ""
    if engine.url.get_backend_name() != "sqlite" or path.startswith((":memory:", "file:")):
        return None
    return Path(path) if path else None


def write_ahead(connection: Any, _record: object) -> None:
    """Set a new connection to a log that is written ahead; a listener of `connect`."""
    # One flush per checkpoint instead of several per commit. A power loss may lose commits; a demo
    # can afford that.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
