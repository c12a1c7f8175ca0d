"""The statements with which a relay reads an outbox and clears it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, or_, select, tuple_

from tracing.sql.stored_record import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing.sql.stored_record import Lane


class OutboxRows:
    """The rows of an outbox.

    Args:
        table: The outbox's table.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        columns = table.c
        self._lowest = select(
            columns.sequence,
            columns.topic,
            columns.key,
            columns.value,
            columns.partition,
            columns.headers,
        ).order_by(columns.sequence)
        # The oldest row is the first one, which the primary key finds.
        oldest = select(columns.created_at).order_by(columns.sequence).limit(1).scalar_subquery()
        pending = select(func.count()).select_from(table).scalar_subquery()
        self._measure = select(pending, oldest)

    async def read(
        self,
        connection: AsyncConnection,
        limit: int,
        *,
        without: Collection[int],
        without_lanes: Collection[Lane],
        topics: Collection[str] | None = None,
        without_topics: Collection[str] = (),
    ) -> list[StoredRecord]:
        """Read the first rows, in their order.

        Args:
            connection: Inside a transaction.
            limit: How many rows at most.
            without: The sequences of rows to leave out.
            without_lanes: The lanes of rows to leave out.
            topics: The topics of the rows; by default any.
            without_topics: The topics of rows to leave out.
        """
        if limit <= 0:
            return []
        columns = self._table.c
        statement = self._lowest.limit(limit)
        keyed = [lane for lane in without_lanes if isinstance(lane, tuple)]
        if topics is not None:
            statement = statement.where(columns.topic.in_(sorted(topics)))
        if without_topics:
            statement = statement.where(columns.topic.not_in(sorted(without_topics)))
        rows = {*without, *(lane for lane in without_lanes if isinstance(lane, int))}
        if rows:
            statement = statement.where(columns.sequence.not_in(sorted(rows)))
        if keyed:
            elsewhere = tuple_(columns.topic, columns.key).not_in(keyed)
            statement = statement.where(or_(columns.key.is_(None), elsewhere))
        found = await connection.execute(statement)
        return [StoredRecord(*row) for row in found]

    async def delete(self, connection: AsyncConnection, sequences: Collection[int]) -> None:
        """Delete rows, all with one statement."""
        await connection.execute(
            delete(self._table).where(self._table.c.sequence.in_(sorted(sequences)))
        )

    async def measure(self, connection: AsyncConnection) -> tuple[int, int | None]:
        """How many rows there are, and when the first was stored, unix ms; `None` without any."""
        pending, oldest_ms = (await connection.execute(self._measure)).one()
        return pending, oldest_ms
