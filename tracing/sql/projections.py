"""Read models in tables: which generation is active, and how far it is in the log."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol
from zlib import crc32

from sqlalchemy import MetaData, bindparam, case, or_, select, text, union_all

from tracing.replay.positions import LogPartition, Position
from tracing.sql.projection import INACTIVE, projection_tables
from tracing.sql.upserts import Upsert, insert_on

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection, ScalarSelect
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing.sql.projection import ProjectionTables

USER: Final = "read models work"
_PLACE: Final = ("topic", "partition", "next_offset", "event_ms")
_KEPT_STATEMENTS: Final = 100
# The first half of the lock's number, which keeps it apart from other users of advisory locks.
_LOCK: Final = 0x70726F6A
_SHARE_LOCK: Final = text("SELECT pg_advisory_xact_lock_shared(:key)")
_LOCK_ALONE: Final = text("SELECT pg_advisory_xact_lock(:key)")


class LoggedRecord(Protocol):
    """A record with its place in the log. aiokafka's record is one."""

    @property
    def topic(self) -> str:
        """Its topic."""

    @property
    def partition(self) -> int:
        """Its partition."""

    @property
    def offset(self) -> int:
        """Its offset."""

    @property
    def timestamp(self) -> int:
        """Its timestamp, unix ms."""


class SqlProjections:
    """The read models of one database: generations, positions, and the rule that ties them.

    Every row of a read model belongs to a generation, and readers see the active one. A replay
    builds the next generation beside it and then makes that the active one, in one transaction. The
    live consumer applies a record to the generation that `advance` returns, in the same
    transaction, so no record is missing from a generation and none is in it twice::

        async with engine.begin() as connection:
            generations = await projections.advance(connection, ["orders"], record)
            if "orders" in generations:
                ...  # write rows with generation=generations["orders"]

    A query reads the active generation by `select(...).where(view.c.generation ==
    projections.active("orders"))`.

    Args:
        metadata: The metadata of the tables; by default a new one.
        prefix: The prefix of the tables' names.

    Task and thread safety: any number of tasks and threads, each with its own connection.
    """

    def __init__(self, *, metadata: MetaData | None = None, prefix: str = "projection") -> None:
        self._tables = projection_tables(MetaData() if metadata is None else metadata, prefix)
        self._lock = (_LOCK << 32 | crc32(self._tables.models.fullname.encode())) & (2**63 - 1)
        models = self._tables.models
        self._declare = Upsert(USER, lambda insert: insert(models).on_conflict_do_nothing())

    @property
    def tables(self) -> ProjectionTables:
        """The tables; create them before the first call."""
        return self._tables

    async def declare(
        self, connection: AsyncConnection, names: Collection[str], *, fresh: bool
    ) -> None:
        """Make read models known to the database; those that it knows stay as they are.

        In a fresh database they are active at once, because the consumer will apply everything to
        them. In one that has history they stay inactive until a replay has built them: the records
        that the consumer has passed are missing from them.

        Args:
            connection: Inside a transaction.
            names: The read models, each of at most 128 characters.
            fresh: Whether the consumer has not yet passed any record. An empty database alone does
                not show that: it may replace one that was lost. Its group has committed nothing.

        Raises:
            ValueError: The database is neither SQLite nor PostgreSQL.
        """
        await connection.run_sync(self.declare_in, names, fresh=fresh)

    def declare_in(self, connection: Connection, names: Collection[str], *, fresh: bool) -> None:
        """Do the same as `declare`, in a plain function."""
        generation = INACTIVE + 1 if fresh else INACTIVE
        rows = [{"name": name, "active": generation, "latest": generation} for name in names]
        if rows:
            connection.execute(self._declare.on(connection), rows)

    async def is_empty(self, connection: AsyncConnection) -> bool:
        """Return whether no read model was ever declared in the database."""
        return await connection.run_sync(self.is_empty_in)

    def is_empty_in(self, connection: Connection) -> bool:
        """Do the same as `is_empty`, in a plain function."""
        return connection.scalar(select(self._tables.models.c.name).limit(1)) is None

    async def advance(
        self, connection: AsyncConnection, names: Collection[str], record: LoggedRecord
    ) -> dict[str, int]:
        """Move the active generations past a record that the live consumer handles.

        Make this the first call of the transaction: it waits while a replay switches generations,
        and a replay waits for the transaction.

        A record below the position is left out: it is applied already. If its timestamp is later
        than all that were applied, the log is another one than before, because the topic was
        deleted and created again. It is applied then, and the position follows the new log.

        Args:
            connection: Inside the transaction that applies the record.
            names: The read models that read the record's topic.
            record: The record; call this for records too that change no rows.

        Returns:
            By name, the generation to apply the record to. A read model is missing where the
            record must not be applied: it is already, or the read model is not built yet.

        Raises:
            ValueError: The database is neither SQLite nor PostgreSQL.
        """
        insert_on(connection, USER)
        return await connection.run_sync(self.advance_in, names, record)

    def advance_in(
        self, connection: Connection, names: Collection[str], record: LoggedRecord
    ) -> dict[str, int]:
        """Do the same as `advance`, in a plain function that runs a whole transaction.

        Args:
            connection: Inside the transaction that applies the record.
            names: The read models that read the record's topic.
            record: The record.

        Returns:
            By name, the generation to apply the record to.

        Raises:
            ValueError: The database is neither SQLite nor PostgreSQL.
        """
        (generations,) = self.advance_all_in(connection, names, [record])
        return generations

    def advance_all_in(
        self, connection: Connection, names: Collection[str], records: Sequence[LoggedRecord]
    ) -> list[dict[str, int]]:
        """Do the same as `advance_in` for several records; those of many partitions cost as one.

        Args:
            connection: Inside the transaction that applies the records.
            names: The read models that read the topics of all these records.
            records: The records, those of one partition in their order.

        Returns:
            For each record, the generations to apply it to, by name.

        Raises:
            ValueError: The database is neither SQLite nor PostgreSQL.
        """
        insert = insert_on(connection, USER)
        if connection.dialect.name == "postgresql":
            # Fair, as row locks are not: a waiting switch is not overtaken for ever. On SQLite the
            # statement below takes the lock of the only writer.
            connection.execute(_SHARE_LOCK, {"key": self._lock})
        applied: list[dict[str, int]] = [{} for _ in records]
        for turn in _turns(records):
            place: dict[str, object] = {"names": list(names)}
            indices = {}
            for number, index in enumerate(turn):
                record = records[index]
                indices[record.topic, record.partition] = index
                place[f"topic_{number}"] = record.topic
                place[f"partition_{number}"] = record.partition
                place[f"next_offset_{number}"] = record.offset + 1
                place[f"event_ms_{number}"] = record.timestamp
            statement = _advance(insert, self._tables, len(turn))
            for name, generation, *where in connection.execute(statement, place):
                if generation != INACTIVE:
                    applied[indices[tuple(where)]][name] = generation
        return applied

    def active(self, name: str) -> ScalarSelect[int]:
        """Return a subquery for the active generation; 0, which has no rows, if there is none."""
        models = self._tables.models.c
        return select(models.active).where(models.name == name).scalar_subquery()

    async def active_generation(self, connection: AsyncConnection, name: str) -> int | None:
        """Return the active generation; `None` if the read model is not built yet."""
        return await connection.scalar(select(self.active(name))) or None

    async def positions(
        self, connection: AsyncConnection, name: str, generation: int | None = None
    ) -> dict[LogPartition, Position]:
        """Return how far a read model is, by partition; partitions without a record are missing.

        Args:
            connection: A connection; for rows and positions that belong together, both in one
                transaction that sees one snapshot.
            name: The read model.
            generation: The generation; by default the active one. Generation 0 holds how far the
                consumer is while the read model is not built.
        """
        positions = self._tables.positions.c
        rows = await connection.execute(
            select(
                positions.topic, positions.partition, positions.next_offset, positions.event_ms
            ).where(
                positions.name == name,
                positions.generation == (self.active(name) if generation is None else generation),
            )
        )
        return {
            LogPartition(topic, partition): Position(next_offset, event_ms)
            for topic, partition, next_offset, event_ms in rows
        }

    async def exclude_live(self, connection: AsyncConnection) -> None:
        """Keep every `advance` out until the transaction ends, and wait for those that are in one.

        On SQLite, call it after a write in the same transaction, which has that effect already.
        """
        if connection.dialect.name == "postgresql":
            await connection.execute(_LOCK_ALONE, {"key": self._lock})


def later(one: Any, other: Any) -> Any:
    """Return the later of two times, in SQL."""
    return case((one > other, one), else_=other)


@lru_cache(_KEPT_STATEMENTS)
def _advance(insert: Any, tables: ProjectionTables, number: int) -> Any:
    """Make the statement that moves the active generations of read models past some records.

    They are in different partitions: a statement must not write the same row twice.
    """
    models, positions = tables.models.c, tables.positions
    places = (
        select(
            models.name,
            models.active,
            *(bindparam(f"{name}_{each}", type_=positions.c[name].type) for name in _PLACE),
        ).where(models.name.in_(bindparam("names", expanding=True)))
        for each in range(number)
    )
    moved = insert(positions).from_select(["name", "generation", *_PLACE], union_all(*places))
    return moved.on_conflict_do_update(
        index_elements=list(positions.primary_key.columns),
        set_={
            "next_offset": moved.excluded.next_offset,
            "event_ms": later(moved.excluded.event_ms, positions.c.event_ms),
        },
        where=or_(
            moved.excluded.next_offset > positions.c.next_offset,
            moved.excluded.event_ms > positions.c.event_ms,
        ),
    ).returning(positions.c.name, positions.c.generation, positions.c.topic, positions.c.partition)


def _turns(records: Iterable[LoggedRecord]) -> list[list[int]]:
    """Return the records' numbers in groups, each with one record of a partition at most."""
    turns: list[list[int]] = []
    number_of: dict[tuple[str, int], int] = {}
    for index, record in enumerate(records):
        place = record.topic, record.partition
        turn = number_of.get(place, 0)
        number_of[place] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(index)
    return turns
