"""Inbox and outbox for SQLAlchemy: effects and events in one transaction, on SQLite or PostgreSQL.

A handler that applies every event once, and whose own events are as certain as its effects::

    async with engine.begin() as connection:
        if await inbox.accept(connection, record):
            ...  # the effect
            await outbox.add(connection, "payments", value, key=order_id)
    relay.wake()

Needs the extra `sql`, and the driver of the database.
"""

from tracing.sql.inbox import SqlInbox, inbox_table
from tracing.sql.outbox import SqlOutbox, outbox_table
from tracing.sql.relay import OutboxRelay

__all__ = ["OutboxRelay", "SqlInbox", "SqlOutbox", "inbox_table", "outbox_table"]
