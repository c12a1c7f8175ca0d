"""What a read model is, and the tables that keep its generations and their positions in the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from tracing.kafka.transport import MAX_TOPIC
from tracing.sql.tables import MAX_NAME

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData
    from sqlalchemy.ext.asyncio import AsyncConnection

INACTIVE: Final = 0
"""The generation without rows, which is active until a read model is built for the first time."""

GENERATION: Final = "generation"
"""The column that says which generation a row of a read model belongs to."""


Apply = Callable[["AsyncConnection", int, Sequence[Any]], Awaitable[None]]
"""Applies events to a generation, in the connection's transaction."""

ApplyIn = Callable[["Connection", int, Sequence[Any]], None]
"""The same as a plain function, which can be a part of one that runs a whole transaction."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A read model: rows that follow from events alone.

    The same events must make the same rows in whatever order their topics are read, one by one or
    in batches, also when one of them comes twice; `keep_highest` writes such rows. Applying has no
    effect but the rows: a replay applies everything again, so it must send and charge nothing.

    Attributes:
        name: Its name, at most 128 characters; a metric label, so one of few.
        topics: The topics that its events are in.
        tables: The tables of its rows. Each has the column `generation` in its primary key.
        apply: Applies events to a generation; it ignores those of no interest to it.
        apply_in: The same as a plain function, if `plain` made the read model.
    """

    name: str
    topics: tuple[str, ...]
    tables: tuple[Table, ...]
    apply: Apply
    apply_in: ApplyIn | None = None

    @classmethod
    def plain(
        cls, name: str, topics: tuple[str, ...], tables: tuple[Table, ...], apply_in: ApplyIn
    ) -> Projection:
        """Make a read model from a plain function; `apply` calls it by `run_sync`.

        A live consumer can call it in a function that runs a whole transaction in a thread; see
        `Transactions`.

        Raises:
            ValueError: A table has no generation in its primary key.
        """

        async def apply(
            connection: AsyncConnection, generation: int, events: Sequence[Any]
        ) -> None:
            await connection.run_sync(apply_in, generation, events)

        return cls(name, topics, tables, apply, apply_in)

    def __post_init__(self) -> None:
        """Check the tables.

        Raises:
            ValueError: A table has no generation in its primary key.
        """
        for table in self.tables:
            if GENERATION not in table.primary_key.columns:
                raise ValueError(
                    f"the read model {self.name} cannot be rebuilt beside itself: the primary key "
                    f"of {table.name} needs the column {GENERATION!r}"
                )


@dataclass(frozen=True, slots=True)
class ProjectionTables:
    """The tables of one store. Times are unix ms.

    Attributes:
        models: A row per read model: its active generation, the one that is being built, and who
            builds it.
        positions: A row per read model, generation and partition: the first offset that is not
            applied, and the latest timestamp of what is.
    """

    models: Table
    positions: Table


def projection_tables(metadata: MetaData, prefix: str = "projection") -> ProjectionTables:
    """Describe the tables of read models. A second call returns the same tables.

    Args:
        metadata: The metadata of the tables, with its schema.
        prefix: The prefix of their names.
    """
    names = [f"{prefix}_{name}" for name in ("models", "positions")]
    tables = [
        table
        for name in names
        if (table := metadata.tables.get(f"{metadata.schema}.{name}" if metadata.schema else name))
        is not None
    ]
    if len(tables) == len(names):
        return ProjectionTables(*tables)
    return ProjectionTables(_models(metadata, names[0]), _positions(metadata, names[1]))


def _models(metadata: MetaData, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("name", String(MAX_NAME), primary_key=True),
        Column("active", Integer, nullable=False),
        # The highest generation that was ever begun: a number is never used twice.
        Column("latest", Integer, nullable=False),
        # The generation that a replay builds, with what it builds and who does; else empty.
        Column("building", Integer),
        Column("plan", Text),
        Column("owner", String(MAX_NAME)),
        Column("seen_at", BigInteger),
    )


def _positions(metadata: MetaData, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("name", String(MAX_NAME), primary_key=True),
        Column(GENERATION, Integer, primary_key=True),
        Column("topic", String(MAX_TOPIC), primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("next_offset", BigInteger, nullable=False),
        Column("event_ms", BigInteger, nullable=False),
    )
