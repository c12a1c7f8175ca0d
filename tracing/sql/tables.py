"""The tables of outbox, inbox and sagas, for `create_all` or for migrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from tracing.headers.identity import MAX_IDENTITY
from tracing.kafka.transport import MAX_TOPIC

if TYPE_CHECKING:
    from sqlalchemy import MetaData

MAX_NAME: Final = 128
MAX_REASON: Final = 400
_MAX_WORD: Final = 16


def outbox_table(metadata: MetaData, name: str = "outbox") -> Table:
    """Describe the table of an outbox, for `create_all` or for migrations.

    It has a row per record that is not sent yet. A second call returns the same table.

    Args:
        metadata: The metadata of the table, with its schema.
        name: The table's name.
    """
    table = _described(metadata, name)
    if table is not None:
        return table
    return Table(
        name,
        metadata,
        # SQLite generates numbers for an INTEGER only, and reuses them without AUTOINCREMENT.
        Column(
            "sequence",
            BigInteger().with_variant(Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        Column("topic", String(MAX_TOPIC), nullable=False),
        Column("key", LargeBinary),
        Column("value", LargeBinary),
        Column("partition", Integer),
        Column("headers", LargeBinary, nullable=False),
        # Unix ms.
        Column("created_at", BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def inbox_table(metadata: MetaData, name: str = "inbox") -> Table:
    """Describe the table of an inbox, for `create_all` or for migrations.

    It has a row per consumer group and applied event. A second call returns the same table.

    Args:
        metadata: The metadata of the table, with its schema.
        name: The table's name.
    """
    table = _described(metadata, name)
    if table is not None:
        return table
    return Table(
        name,
        metadata,
        Column("consumer_group", String(MAX_IDENTITY), primary_key=True),
        Column("source", String(MAX_IDENTITY), primary_key=True),
        Column("id", String(MAX_IDENTITY), primary_key=True),
        # Unix ms. Indexed for `forget`.
        Column("received_at", BigInteger, nullable=False, index=True),
    )


@dataclass(frozen=True, slots=True)
class SagaTables:
    """The tables of one store. All times are unix ns.

    Attributes:
        sagas: A row per saga: its state, times and context.
        steps: A row per step that has begun.
        totals: Counts since the first saga. Each figure is split over several rows, so that
            transactions that add to it seldom wait for each other.
    """

    sagas: Table
    steps: Table
    totals: Table


def saga_tables(metadata: MetaData, prefix: str = "saga") -> SagaTables:
    """Describe the tables of sagas. A second call returns the same tables.

    Args:
        metadata: The metadata of the tables, with its schema.
        prefix: The prefix of their names.
    """
    names = [f"{prefix}_{name}" for name in ("instances", "steps", "totals")]
    tables = [table for name in names if (table := _described(metadata, name)) is not None]
    if len(tables) == len(names):
        return SagaTables(*tables)
    return SagaTables(
        _sagas(metadata, names[0]), _steps(metadata, names[1]), _totals(metadata, names[2])
    )


def _described(metadata: MetaData, name: str) -> Table | None:
    """Return the table of a name that was described in a metadata before, if there is one."""
    return metadata.tables.get(f"{metadata.schema}.{name}" if metadata.schema else name)


def _sagas(metadata: MetaData, name: str) -> Table:
    table = Table(
        name,
        metadata,
        Column("saga", String(MAX_NAME), primary_key=True),
        Column("saga_id", String(MAX_IDENTITY), primary_key=True),
        Column("state", String(MAX_NAME), nullable=False),
        Column("context", Text),
        # Empty while only later events of a choreographed flow are known.
        Column("started_ns", BigInteger),
        Column("deadline_ns", BigInteger),
        Column("moved_ns", BigInteger, nullable=False),
        Column("ended_ns", BigInteger),
        Column("outcome", String(_MAX_WORD)),
        Column("reason", String(MAX_REASON)),
    )
    active = table.c.ended_ns.is_(None)
    # Holds only the active sagas, so that reading health stays fast when many have ended.
    Index(
        f"{name}_active",
        table.c.saga,
        table.c.state,
        table.c.started_ns,
        table.c.deadline_ns,
        table.c.moved_ns,
        sqlite_where=active,
        postgresql_where=active,
    )
    Index(f"{name}_started", table.c.saga, table.c.started_ns)
    return table


def _steps(metadata: MetaData, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("saga", String(MAX_NAME), primary_key=True),
        Column("saga_id", String(MAX_IDENTITY), primary_key=True),
        Column("step", String(MAX_NAME), primary_key=True),
        Column("compensation", Boolean, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("started_ns", BigInteger),
        Column("ended_ns", BigInteger),
        Column("outcome", String(_MAX_WORD)),
    )


def _totals(metadata: MetaData, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("saga", String(MAX_NAME), primary_key=True),
        Column("figure", String(_MAX_WORD), primary_key=True),
        Column("label", String(MAX_NAME), primary_key=True),
        Column("slot", Integer, primary_key=True),
        Column("number", BigInteger, nullable=False),
    )
