"""The lock by which one relay alone works on the outbox of an SQLite database."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_SUFFIX: Final = "-relay"
_READ_AND_WRITE: Final = 0o666
# Outboxes in memory that have a relay: there is no file to lock, and no other process.
_in_memory: set[tuple[object, str]] = set()


class OtherRelayError(RuntimeError):
    """Another relay works on the same outbox."""


class SqliteRelayLock:
    """Keeps every other relay off an SQLite outbox: in this process and in all others.

    A file beside the database, `DATABASE-TABLE-relay`, is locked with SQLite's own file locks, so
    it works wherever the database itself works. The operating system gives the lock back when the
    process ends in any way. The file is empty and stays: to delete it while a relay runs would let
    a second one in. So would a hard link to the database, which SQLite itself does not bear either
    (https://www.sqlite.org/howtocorrupt.html, 2.5).

    Args:
        engine: The database.
        table: The outbox's table.
    """

    def __init__(self, engine: AsyncEngine, table: Table) -> None:
        self._engine = engine
        self._table = table
        self._held: sqlite3.Connection | tuple[object, str] | None = None

    async def acquire(self, connection: AsyncConnection) -> None:
        """Take the lock, unless this relay has it already.

        Args:
            connection: To the database, which knows the path of its file best.

        Raises:
            OtherRelayError: Another relay has it.
            sqlite3.OperationalError: The lock's file cannot be made or opened.
        """
        if self._held is not None:
            return
        databases = await connection.exec_driver_sql("PRAGMA database_list")
        files = {row["name"]: row["file"] for row in databases.mappings()}
        file = files.get(self._table.schema or "main")
        if file:
            self._held = _locked(Path(file), self._table.name)
        else:
            self._held = self._claimed()

    def release(self) -> None:
        """Give the lock back."""
        held, self._held = self._held, None
        if isinstance(held, tuple):
            _in_memory.discard(held)
        elif held is not None:
            held.close()

    def _claimed(self) -> tuple[object, str]:
        """Claim a database in memory, which belongs to its pool, or to all who know its name."""
        url = self._engine.url
        shared = "cache=shared" in str(url)
        claim = (url.database if shared else self._engine.pool, self._table.fullname.lower())
        if claim in _in_memory:
            raise _refused("this database in memory", self._table.name)
        _in_memory.add(claim)
        return claim


def _locked(file: Path, table: str) -> sqlite3.Connection:
    # A file is the same one by whatever link it is opened.
    file = file.resolve()
    # And so is a table in whatever case; one with a slash in its name needs another one here.
    path = file.with_name(f"{file.name}-{quote(table.lower(), safe='')}{_SUFFIX}")
    # As readable as the database itself. Only where it is new: closing a file that is locked
    # would give back the lock, if it is this process that has it.
    with contextlib.suppress(FileExistsError):
        mode = file.stat().st_mode & _READ_AND_WRITE
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    held = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        held.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        held.close()
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise _refused(str(file), table) from None
        raise
    return held


def _refused(database: str, table: str) -> OtherRelayError:
    return OtherRelayError(
        f"another relay works on the table {table} of {database}: SQLite takes one relay at a "
        "time, so stop the other one, or give each service a file of its own, or use PostgreSQL, "
        "where a second relay stands by"
    )
