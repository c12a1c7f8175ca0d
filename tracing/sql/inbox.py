"""An inbox in a table of the application's own database."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import MetaData, delete
from sqlalchemy.dialects import postgresql, sqlite

from tracing.core.text import plain_text
from tracing.delivery.inbox import Duplicates
from tracing.headers.identity import EventIdentity, bounded
from tracing.sql.tables import inbox_table

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing.telemetry import Telemetry

_INSERTS: Final[dict[str, Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class SqlInbox:
    """Applies every event once per consumer group: an `Inbox` for SQLAlchemy.

    Groups may share a table, each with an inbox of its own over the same metadata.

    Args:
        telemetry: What the service's clients share.
        group: The consumer group that applies the events.
        metadata: What the table belongs to; by default a metadata of its own.
        table_name: The table's name.

    Task safety: any number of tasks of one event loop, each with its own connection.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        group: str,
        metadata: MetaData | None = None,
        table_name: str = "inbox",
    ) -> None:
        group = plain_text(group, "group")
        self._table = inbox_table(MetaData() if metadata is None else metadata, table_name)
        self._group = bounded(group.encode("utf-8", "backslashreplace"))
        self._duplicates = Duplicates(telemetry, group)

    @property
    def table(self) -> Table:
        """The table; it has to exist before the first record is accepted."""
        return self._table

    async def accept(self, connection: AsyncConnection, record: ConsumerRecord[Any, Any]) -> bool:
        """Store a record's identity in the connection's transaction, which applies its event.

        When the transaction is rolled back the identity is gone as well, and the record is new
        again. A second transaction with the same identity waits for the first one to end. Call it
        first in the transaction: then a duplicate costs nothing more.

        Args:
            connection: Inside the transaction that is to hold the effect.
            record: The record; what identifies it is said in `tracing.EventIdentity`.

        Returns:
            Whether the event is new. `False` where it was applied before: then it is counted, and
            is an event on the current span.

        Raises:
            ValueError: The database is neither SQLite nor PostgreSQL.
            sqlalchemy.exc.DBAPIError: What the database raised, which on PostgreSQL includes a
                serialization failure where the isolation level is above the default.
        """
        insert = _INSERTS.get(connection.dialect.name)
        if insert is None:
            raise ValueError(
                f"SqlInbox works on {' and '.join(_INSERTS)}, not on {connection.dialect.name}"
            )
        self._duplicates.expect(record.topic)
        identity = EventIdentity.of(record)
        row = {
            "consumer_group": self._group,
            "source": identity.source,
            "id": identity.id,
            "received_at": int(time() * 1000),
        }
        result = await connection.execute(insert(self._table).on_conflict_do_nothing(), row)
        if result.rowcount:
            return True
        self._duplicates.skipped(record.topic, identity)
        return False

    async def forget(self, connection: AsyncConnection, *, older_than_s: float) -> int:
        """Delete the group's identities that were stored long ago.

        A record that comes again after its identity is forgotten is applied again. So keep
        identities for longer than the topic keeps its records, and than dead letters are kept
        that somebody may replay.

        Args:
            connection: Inside a transaction.
            older_than_s: The age from which on an identity goes, in seconds.

        Returns:
            How many went.

        Raises:
            ValueError: `older_than_s` is negative.
        """
        if older_than_s < 0:
            raise ValueError(f"older_than_s must not be negative, not {older_than_s!r}")
        received = self._table.c
        result = await connection.execute(
            delete(self._table).where(
                received.consumer_group == self._group,
                received.received_at <= int((time() - older_than_s) * 1000),
            )
        )
        return result.rowcount
