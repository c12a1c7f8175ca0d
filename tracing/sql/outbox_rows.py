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
"""Records with the same order key are sent one by one: a topic and a key, or one keyless record."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record in the outbox.

    Attributes:
        sequence: Its sequence number in the outbox.
        topic: Its topic.
        key: Its key.
        value: Its value.
        partition: Its partition; `None` if the producer chooses.
        headers: Its packed headers.
    """

    sequence: int
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: bytes

    @property
    def order_key(self) -> OrderKey:
        """The key of the records that it must not overtake."""
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
        # The oldest row has the lowest sequence, so the primary key's index yields it.
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
        """Read the first rows, in order of their sequence.

        Args:
            connection: Inside a transaction.
            limit: The maximum number of rows.
            without: The sequences of rows to leave out.
            without_keys: The order keys of rows to leave out.
            topics: The topics of the rows; by default all.
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
            other_keys = tuple_(columns.topic, columns.key).not_in(keyed)
            statement = statement.where(or_(columns.key.is_(None), other_keys))
        return [StoredRecord(*row) for row in await connection.execute(statement)]

    async def delete(self, connection: AsyncConnection, sequences: Collection[int]) -> None:
        """Delete rows with one statement."""
        await connection.execute(
            delete(self._table).where(self._table.c.sequence.in_(sorted(sequences)))
        )

    async def measure(self, connection: AsyncConnection) -> tuple[int, int | None]:
        """Return the number of rows and when the first was stored, unix ms; `None` without any."""
        pending, oldest_ms = (await connection.execute(self._measure)).one()
        return pending, oldest_ms


def checked(headers: Iterable[Header]) -> list[Header]:
    """Return a copy of headers that a producer accepts.

    Raises:
        TypeError: A header is not a pair of text and bytes or `None`.
        ValueError: A name cannot be encoded as UTF-8.
    """
    if not isinstance(headers, Mapping) and isinstance(headers, Iterable):
        headers = list(headers)
    fault = header_fault(headers)
    if fault is not None:
        raise TypeError(fault)
    pairs = [(name, value) for name, value in headers]
    for name, _ in pairs:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the header name {name!r} cannot be encoded as UTF-8") from None
    return pairs


def pack(headers: Iterable[Header]) -> bytes:
    """Encode headers as a JSON array of pairs, each byte of a value as one character.

    Text values stay readable in the database, and any bytes survive the round trip.
    """
    pairs = [[name, None if value is None else value.decode("latin-1")] for name, value in headers]
    return json.dumps(pairs, separators=(",", ":")).encode()


def unpack(packed: bytes) -> list[Header]:
    """Decode headers.

    Raises:
        ValueError: `pack` did not encode them.
    """
    try:
        return [
            (str(name), None if value is None else value.encode("latin-1"))
            for name, value in json.loads(packed)
        ]
    except (TypeError, AttributeError) as error:
        raise ValueError("the stored headers cannot be read") from error
