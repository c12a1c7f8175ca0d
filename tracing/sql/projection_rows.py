"""Rows of read models: written so that the order of events does not matter, copied and removed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, literal, select, tuple_

from tracing.sql.projection import GENERATION
from tracing.sql.projections import USER
from tracing.sql.upserts import Upsert, insert_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

Row = dict[str, Any]
"""The values of a row, by column."""

_CHUNK: Final = 1000
_MAX_TABLES: Final = 100


async def keep_highest(
    connection: AsyncConnection, table: Table, rows: Iterable[Mapping[str, Any]], *, rank: str
) -> None:
    """Write rows; of several with one primary key, keep the one with the highest rank.

    So it does not matter in which order events arrive, how often, and how they are grouped, as
    long as rows with the same key and rank are the same.

    Args:
        connection: Inside the transaction that moves the position.
        table: The table, with the column `generation` in its primary key.
        rows: The rows, with a value for each column.
        rank: The column that decides, for example the number of an order's stage.

    Raises:
        ValueError: The database is neither SQLite nor PostgreSQL.
    """
    await connection.run_sync(keep_highest_in, table, list(rows), rank=rank)


def keep_highest_in(
    connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]], *, rank: str
) -> None:
    """Do the same as `keep_highest`, in a plain function that runs a whole transaction.

    Args:
        connection: Inside the transaction that moves the position.
        table: The table, with the column `generation` in its primary key.
        rows: The rows, with a value for each column.
        rank: The column that decides.

    Raises:
        ValueError: The database is neither SQLite nor PostgreSQL.
    """
    key = [column.name for column in table.primary_key.columns]
    highest: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in rows:
        identity = tuple(row[name] for name in key)
        other = highest.get(identity)
        if other is None or row[rank] > other[rank]:
            highest[identity] = row
    if not highest:
        return
    # In the order of their keys: transactions that write the same rows then wait for each other in
    # turn, and never in a circle.
    values = [dict(highest[each]) for each in sorted(highest)]
    connection.execute(_keep_highest(table, rank).on(connection), values)


@lru_cache(maxsize=_MAX_TABLES)
def _keep_highest(table: Table, rank: str) -> Upsert:
    def make(insert: Any) -> Any:
        inserted = insert(table)
        return inserted.on_conflict_do_update(
            index_elements=[column.name for column in table.primary_key.columns],
            set_={
                column.name: inserted.excluded[column.name]
                for column in table.columns
                if not column.primary_key
            },
            where=inserted.excluded[rank] > table.c[rank],
        )

    return Upsert(USER, make)


async def copy_rows(connection: AsyncConnection, table: Table, *, source: int, target: int) -> int:
    """Copy the rows of a generation that its copy does not have yet.

    Args:
        connection: Inside a transaction.
        table: The table.
        source: The generation to copy.
        target: The generation that gets the copies.

    Returns:
        The number of copied rows.
    """
    names = [column.name for column in table.columns]
    copied = insert_on(connection, USER)(table).from_select(
        names,
        select(
            *(
                literal(target).label(GENERATION) if name == GENERATION else table.c[name]
                for name in names
            )
        ).where(table.c[GENERATION] == source),
    )
    result = await connection.execute(copied.on_conflict_do_nothing())
    return result.rowcount


async def remove_rows(
    connection: AsyncConnection, table: Table, generation: int, *, limit: int = _CHUNK
) -> int:
    """Delete some rows of a generation.

    Args:
        connection: Inside a transaction, which should be a short one of its own.
        table: The table.
        generation: The generation.
        limit: How many rows to delete at most, so that others do not wait long.

    Returns:
        The number of deleted rows; less than `limit` once there are no more.
    """
    key = list(table.primary_key.columns)
    some = select(*key).where(table.c[GENERATION] == generation).limit(limit)
    result = await connection.execute(delete(table).where(tuple_(*key).in_(some)))
    return result.rowcount
