"""Inbox, outbox and sagas for SQLAlchemy, on SQLite or PostgreSQL.

A handler applies every event once, and publishes its own events if and only if it commits::

    async with engine.begin() as connection:
        if await inbox.accept(connection, record):
            ...  # the effect
            await outbox.add(connection, "payments", value, key=order_id)
    relay.wake()

Sagas are recorded in the same way, in the transaction that moves them. Read models that a replay
can rebuild (`tracing.replay`) keep generations of their rows, with positions in the log. Needs the
extra `sql`, and the driver of the database.
"""

from tracing.core.extras import missing_extra

try:
    from tracing.sql.inbox import SqlInbox
    from tracing.sql.outbox import SqlOutbox
    from tracing.sql.outbox_rows import AddedRecords, StoredRecord
    from tracing.sql.projection import Projection, ProjectionTables, projection_tables
    from tracing.sql.projection_replay import SqlReplayStore
    from tracing.sql.projection_rows import keep_highest, keep_highest_in
    from tracing.sql.projections import LoggedRecord, SqlProjections
    from tracing.sql.relay import OutboxRelay
    from tracing.sql.saga_log import FlowNote, SqlSagaLog
    from tracing.sql.saga_moves import SagaMove
    from tracing.sql.saga_view import SagaRecord, SagaView, StepRecord
    from tracing.sql.sagas import SqlSagas
    from tracing.sql.staleness import ProjectionStaleness
    from tracing.sql.tables import SagaTables, inbox_table, outbox_table, saga_tables
    from tracing.sql.transactions import Transactions
except ModuleNotFoundError as error:
    raise missing_extra("tracing.sql", "sql", error) from error

__all__ = [
    "AddedRecords",
    "FlowNote",
    "LoggedRecord",
    "OutboxRelay",
    "Projection",
    "ProjectionStaleness",
    "ProjectionTables",
    "SagaMove",
    "SagaRecord",
    "SagaTables",
    "SagaView",
    "SqlInbox",
    "SqlOutbox",
    "SqlProjections",
    "SqlReplayStore",
    "SqlSagaLog",
    "SqlSagas",
    "StepRecord",
    "StoredRecord",
    "Transactions",
    "inbox_table",
    "keep_highest",
    "keep_highest_in",
    "outbox_table",
    "projection_tables",
    "saga_tables",
]
