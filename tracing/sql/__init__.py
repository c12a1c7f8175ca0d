"""Inbox, outbox and sagas for SQLAlchemy, on SQLite or PostgreSQL.

A handler applies every event once, and publishes its own events if and only if it commits::

    async with engine.begin() as connection:
        if await inbox.accept(connection, record):
            ...  # the effect
            await outbox.add(connection, "payments", value, key=order_id)
    relay.wake()

Sagas are recorded in the same way, in the transaction that moves them. Needs the extra `sql`, and
the driver of the database.
"""

from tracing.sql.inbox import SqlInbox
from tracing.sql.outbox import SqlOutbox
from tracing.sql.relay import OutboxRelay
from tracing.sql.saga_log import SqlSagaLog
from tracing.sql.saga_view import SagaRecord, SagaView, StepRecord
from tracing.sql.sagas import SqlSagas
from tracing.sql.tables import SagaTables, inbox_table, outbox_table, saga_tables

__all__ = [
    "OutboxRelay",
    "SagaRecord",
    "SagaTables",
    "SagaView",
    "SqlInbox",
    "SqlOutbox",
    "SqlSagaLog",
    "SqlSagas",
    "StepRecord",
    "inbox_table",
    "outbox_table",
    "saga_tables",
]
