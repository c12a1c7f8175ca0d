"""The lock that lets only one relay work on the outbox of an SQLite database."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

_SUFFIX: Final = "-relay"
_READ_AND_WRITE: Final = 0o666
# In-memory outboxes that have a relay: there is no file to lock, and no other process.
_in_memory: set[tuple[object, str]] = set()


class OtherRelayError(RuntimeError):
    """Another relay works on the same outbox."""


class SqliteRelayLock:
    """Keeps every other relay off an SQLite outbox, in this process and in all others.

    It locks a file beside the database, `DATABASE-TABLE-relay`, with SQLite's own file locks, so it
    works wherever the database works. The operating system releases the lock however the process
    ends. The file is empty and is never removed: deleting it while a relay runs would let a second
    one in. So would a hard link to the database, which SQLite does not support either
    (https://www.sqlite.org/howtocorrupt.html, 2.5).

    Args:
        engine: The database.
        table: The outbox's table.
    """

    def __init__(self, engine: Engine, table: Table) -> None:
        self._engine = engine
        self._table = table
        self._held: sqlite3.Connection | tuple[object, str] | None = None

    def acquire(self, connection: Connection) -> None:
        """Take the lock, unless this relay has it already.

        Args:
            connection: A connection to the database, which knows the path of its file.

        Raises:
            OtherRelayError: Another relay has the lock.
            sqlite3.OperationalError: The lock file cannot be created or opened.
        """
        if self._held is not None:
            return
        databases = connection.exec_driver_sql("PRAGMA database_list")
        files = {row["name"]: row["file"] for row in databases.mappings()}
        file = files.get(self._table.schema or "main")
        if file:
            self._held = _locked(Path(file), self._table.name)
        else:
            self._held = self._claimed()

    def release(self) -> None:
        """Release the lock."""
        held, self._held = self._held, None
        if isinstance(held, tuple):
            _in_memory.discard(held)
        elif held is not None:
            held.close()

    def _claimed(self) -> tuple[object, str]:
        """Claim an in-memory database, which belongs to its pool or is shared by its name."""
        url = self._engine.url
        shared = "cache=shared" in str(url)
        claim = (url.database if shared else self._engine.pool, self._table.fullname.lower())
        if claim in _in_memory:
            raise _refused("this database in memory", self._table.name)
        _in_memory.add(claim)
        return claim


def _locked(file: Path, table: str) -> sqlite3.Connection:
    # Links to one file must share the lock.
    file = file.resolve()
    # Table names are case-insensitive, and may hold a slash, which a file name may not.
    path = file.with_name(f"{file.name}-{quote(table.lower(), safe='')}{_SUFFIX}")
    # With the permissions of the database. Only if the file is new: closing a locked file would
    # release the lock if this process has it.
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
