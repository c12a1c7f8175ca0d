"""Statements that need `INSERT ... ON CONFLICT`, made once for each kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

_INSERTS: Final[dict[str, Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class Upsert:
    """A statement, made once per database. SQLAlchemy keeps the compiled text of a statement's key.

    Making the same statement again costs more than executing it.

    Args:
        user: What needs the statement, with its verb, as in "SqlInbox works".
        make: Makes the statement with the `insert` of a database.

    Thread safety: any number of threads.
    """

    __slots__ = ("_statements", "_user")

    def __init__(self, user: str, make: Callable[[Any], Any]) -> None:
        self._user = user
        self._statements = {name: make(insert) for name, insert in _INSERTS.items()}

    def on(self, connection: Connection | AsyncConnection) -> Any:
        """Return the statement of a connection's database.

        Raises:
            ValueError: The database is neither SQLite nor PostgreSQL.
        """
        statement = self._statements.get(connection.dialect.name)
        if statement is None:
            raise _unsupported(self._user, connection)
        return statement


def insert_on(connection: Connection | AsyncConnection, user: str) -> Any:
    """Return the `insert` of the connection's database, which supports `ON CONFLICT`.

    For statements that depend on more than the database.

    Args:
        connection: The connection.
        user: What needs it, with its verb, for the message that refuses a database.

    Raises:
        ValueError: The database is neither SQLite nor PostgreSQL.
    """
    insert = _INSERTS.get(connection.dialect.name)
    if insert is None:
        raise _unsupported(user, connection)
    return insert


def _unsupported(user: str, connection: Connection | AsyncConnection) -> ValueError:
    supported, name = " and ".join(_INSERTS), connection.dialect.name
    return ValueError(f"{user} on {supported}, not on {name}")
