"""An inbox in a table of the application's own database."""

from __future__ import annotations

from operator import itemgetter
from time import time
from typing import TYPE_CHECKING

from sqlalchemy import MetaData, bindparam, delete

from tracing.core.text import plain_text
from tracing.delivery.inbox import Duplicates
from tracing.headers.identity import EventIdentity, bounded
from tracing.sql.tables import inbox_table
from tracing.sql.upserts import Upsert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Context

    from sqlalchemy import Connection, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing.headers.codec import Record
    from tracing.telemetry import Telemetry


class SqlInbox:
    """Applies every event once per consumer group: an `Inbox` for SQLAlchemy.

    Groups may share a table, each with its own inbox over the same metadata.

    Args:
        telemetry: The telemetry that the service's clients share.
        group: The consumer group that applies the events.
        metadata: The metadata of the table; by default a new one.
        table_name: The table's name.

    Task and thread safety: any number of tasks and threads, each with its own connection.
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
        table = self._table
        self._insert = Upsert(
            "SqlInbox works", lambda insert: insert(table).on_conflict_do_nothing()
        )
        self._insert_all = Upsert(
            "SqlInbox works",
            lambda insert: (
                insert(table).on_conflict_do_nothing().returning(table.c.source, table.c.id)
            ),
        )
        self._delete = delete(table).where(
            table.c.consumer_group == self._group, table.c.received_at <= bindparam("until_ms")
        )

    @property
    def table(self) -> Table:
        """The table; create it before the first record is accepted."""
        return self._table

    async def accept(self, connection: AsyncConnection, record: Record) -> bool:
        """Store a record's identity in the connection's transaction, which applies its event.

        A rollback removes the identity as well, and the record counts as new again. A second
        transaction with the same identity waits until the first one ends. Make this the first call
        of the transaction, so that a duplicate does no other work.

        Args:
            connection: Inside the transaction that applies the effect.
            record: The record; `tracing.EventIdentity` describes its identity.

        Returns:
            Whether the event is new. `False` if it was applied before; the duplicate is counted
            and noted on the current span.

        Raises:
            ValueError: The database is neither SQLite nor PostgreSQL.
            sqlalchemy.exc.DBAPIError: The database failed. On PostgreSQL this includes a
                serialization failure above the default isolation level.
        """
        self._insert.on(connection)
        return await connection.run_sync(self.accept_in, record)

    def accept_in(self, connection: Connection, record: Record) -> bool:
        """Do the same as `accept`, in a plain function that runs a whole transaction.

        The function may run in a worker thread; see `Transactions`. Then the thread needs a copy
        of the handler's context, because a duplicate is noted on the current span.

        Args:
            connection: Inside the transaction that applies the effect.
            record: The record.

        Returns:
            Whether the event is new.

        Raises:
            ValueError: The database is neither SQLite nor PostgreSQL.
            sqlalchemy.exc.DBAPIError: The database failed.
        """
        statement = self._insert.on(connection)
        self._duplicates.expect(record.topic)
        identity = EventIdentity.of(record)
        row = {
            "consumer_group": self._group,
            "source": identity.source,
            "id": identity.id,
            "received_at": int(time() * 1000),
        }
        if connection.execute(statement, row).rowcount:
            return True
        self._duplicates.skipped(record.topic, identity)
        return False

    def accept_all_in(
        self,
        connection: Connection,
        records: Sequence[Record],
        contexts: Sequence[Context] | None = None,
    ) -> list[bool]:
        """Do the same as `accept_in` for several records, with one statement.

        Args:
            connection: Inside the transaction that applies the effects of all of them.
            records: The records.
            contexts: The context of the handling of each, in which a duplicate is noted; by default
                the current one.

        Returns:
            For each record, whether its event is new. Of several with the same identity, the first
            one is.

        Raises:
            ValueError: The database is neither SQLite nor PostgreSQL.
            sqlalchemy.exc.DBAPIError: The database failed.
        """
        if not records:
            return []
        identities = [EventIdentity.of(record) for record in records]
        now_ms = int(time() * 1000)
        rows = [
            {
                "consumer_group": self._group,
                "source": each.source,
                "id": each.id,
                "received_at": now_ms,
            }
            for each in identities
        ]
        # In the order of their keys: transactions that store the same identities then wait for each
        # other in turn, and never in a circle.
        rows.sort(key=itemgetter("source", "id"))
        stored = connection.execute(self._insert_all.on(connection), rows)
        new = {(source, number) for source, number in stored}
        answers = []
        for index, (record, identity) in enumerate(zip(records, identities, strict=True)):
            self._duplicates.expect(record.topic)
            key = identity.source, identity.id
            answers.append(key in new)
            if key in new:
                new.remove(key)
            elif contexts is None:
                self._duplicates.skipped(record.topic, identity)
            else:
                contexts[index].run(self._duplicates.skipped, record.topic, identity)
        return answers

    async def forget(self, connection: AsyncConnection, *, older_than_s: float) -> int:
        """Delete the group's identities that were stored long ago.

        A record that is redelivered after its identity is deleted is applied again. So keep
        identities for longer than the topic retains its records, and for longer than dead letters
        may be replayed.

        Args:
            connection: Inside a transaction.
            older_than_s: The age at which an identity is deleted, in seconds.

        Returns:
            The number of deleted identities.

        Raises:
            ValueError: `older_than_s` is negative.
        """
        if older_than_s < 0:
            raise ValueError(f"older_than_s must not be negative, not {older_than_s!r}")
        until_ms = int((time() - older_than_s) * 1000)
        result = await connection.execute(self._delete, {"until_ms": until_ms})
        return result.rowcount
