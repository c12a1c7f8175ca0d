"""The rows of an outbox: a record, its headers as one column, and the relay's statements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, or_, select, tuple_

from tracing.headers.codec import header_fault

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing.headers.codec import Header

OrderKey = tuple[str, bytes] | int
"""Records that are sent one after the other: a topic and a key; without a key, one record alone."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is stored.

    Attributes:
        sequence: Its place in the outbox.
        topic: Where it goes.
        key: Its key.
        value: Its value.
        partition: Its partition; `None` where the producer chooses.
        headers: Its headers, packed.
    """

    sequence: int
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: bytes

    @property
    def order_key(self) -> OrderKey:
        """What it keeps its order in."""
        return self.sequence if self.key is None else (self.topic, self.key)


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
        without_keys: Collection[OrderKey],
        topics: Collection[str] | None = None,
        without_topics: Collection[str] = (),
    ) -> list[StoredRecord]:
        """Read the first rows, in their order.

        Args:
            connection: Inside a transaction.
            limit: How many rows at most.
            without: The sequences of rows to leave out.
            without_keys: The lanes of rows to leave out.
            topics: The topics of the rows; by default any.
            without_topics: The topics of rows to leave out.
        """
        if limit <= 0:
            return []
        columns = self._table.c
        statement = self._lowest.limit(limit)
        keyed = [key for key in without_keys if isinstance(key, tuple)]
        if topics is not None:
            statement = statement.where(columns.topic.in_(sorted(topics)))
        if without_topics:
            statement = statement.where(columns.topic.not_in(sorted(without_topics)))
        rows = {*without, *(key for key in without_keys if isinstance(key, int))}
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


def checked(headers: Iterable[Header]) -> list[Header]:
    """Copy headers that a producer will take.

    Raises:
        TypeError: One is no pair of a text and bytes or `None`.
        ValueError: A name cannot be written as UTF-8.
    """
    if not isinstance(headers, Mapping) and isinstance(headers, Iterable):
        headers = list(headers)
    fault = header_fault(headers)
    if fault is not None:
        raise TypeError(fault)
    found = [(name, value) for name, value in headers]
    for name, _ in found:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the header name {name!r} cannot be written as UTF-8") from None
    return found


def pack(headers: Iterable[Header]) -> bytes:
    """Write headers."""
    pairs = [[name, None if value is None else value.decode("latin-1")] for name, value in headers]
    return json.dumps(pairs, separators=(",", ":")).encode()


def unpack(packed: bytes) -> list[Header]:
    """Read headers.

    Raises:
        ValueError: They were not written by `pack`.
    """
    try:
        return [
            (str(name), None if value is None else value.encode("latin-1"))
            for name, value in json.loads(packed)
        ]
    except (TypeError, AttributeError) as error:
        raise ValueError("the stored headers cannot be read") from error
