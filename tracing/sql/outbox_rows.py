"""The rows of an outbox: a record, its headers as one column, and the relay's statements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    Integer,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.types import NullType

from tracing.headers.codec import header_fault

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Engine, Table

    from tracing.headers.codec import Header

OrderKey = tuple[str, bytes] | int
"""Records with the same order key are sent one by one: a topic and a key, or one keyless record."""


class StoredRecord(NamedTuple):
    """A record in the outbox.

    Attributes:
        sequence: Its sequence number in the outbox.
        topic: Its topic.
        key: Its key.
        value: Its value.
        partition: Its partition; `None` if the producer chooses.
        headers: Its packed headers.
        created_at: When it was stored, unix ms.
    """

    sequence: int
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: bytes
    created_at: int

    @property
    def order_key(self) -> OrderKey:
        """The key of the records that it must not overtake."""
        return self.sequence if self.key is None else (self.topic, self.key)


@dataclass(frozen=True, slots=True)
class AddedRecords:
    """The records that a transaction added to an outbox, for `OutboxRelay.wake`.

    Attributes:
        outbox: The database and the table.
        records: The records, in their order; none where a relay has to read them.
    """

    outbox: tuple[object, str]
    # Left out of texts: values and keys are no part of logs.
    records: tuple[StoredRecord, ...] = field(default=(), repr=False)


def place_of(engine: Engine, table: Table) -> tuple[object, str]:
    """Return which outbox a table in the database of an engine is."""
    database = engine.url.database
    # A database in memory belongs to its pool.
    return (engine.pool if database in {None, "", ":memory:"} else database), table.fullname


class OutboxRows:
    """The rows of an outbox. Its methods are plain functions, which run together in one hop.

    Args:
        table: The outbox's table.
    """

    def __init__(self, table: Table) -> None:
        columns = self._columns = table.c
        # Both drivers return bytes as they are: without a type, SQLAlchemy does not copy them.
        key, value, headers = (
            type_coerce(column, NullType()).label(column.name)
            for column in (columns.key, columns.value, columns.headers)
        )
        self._lowest = (
            select(
                columns.sequence,
                columns.topic,
                key,
                value,
                columns.partition,
                headers,
                columns.created_at,
            )
            .order_by(columns.sequence)
            .limit(bindparam("limit", type_=Integer))
        )
        self._reads: dict[tuple[str, ...], Any] = {}
        self._delete = delete(table).where(
            columns.sequence.between(bindparam("first"), bindparam("last"))
        )
        # The oldest row has the lowest sequence, so the primary key's index yields it.
        oldest = select(columns.created_at).order_by(columns.sequence).limit(1).scalar_subquery()
        pending = select(func.count()).select_from(table).scalar_subquery()
        self._measure = select(pending, oldest)

    def read(
        self,
        connection: Connection,
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
        if limit <= 0 or (topics is not None and not topics):
            return []
        rows = {*without, *(key for key in without_keys if isinstance(key, int))}
        values: dict[str, list[Any]] = {
            "topics": sorted(topics or ()),
            "without_topics": sorted(without_topics),
            "rows": sorted(rows),
            "keys": [key for key in without_keys if isinstance(key, tuple)],
        }
        conditions = tuple(name for name, some in values.items() if some)
        statement = self._reads.get(conditions)
        if statement is None:
            statement = self._reads[conditions] = self._read(conditions)
        parameters = {name: values[name] for name in conditions}
        result = connection.execute(statement, {**parameters, "limit": limit})
        return list(starmap(StoredRecord, result))

    def _read(self, conditions: Collection[str]) -> Any:
        """Make the statement that reads rows under some conditions."""
        columns = self._columns
        keys = tuple_(columns.topic, columns.key)
        by_name = {
            "topics": columns.topic.in_(bindparam("topics", expanding=True)),
            "without_topics": columns.topic.not_in(bindparam("without_topics", expanding=True)),
            "rows": columns.sequence.not_in(bindparam("rows", expanding=True)),
            "keys": or_(columns.key.is_(None), keys.not_in(bindparam("keys", expanding=True))),
        }
        return self._lowest.where(*(by_name[name] for name in conditions))

    def delete(self, connection: Connection, sequences: Collection[int]) -> None:
        """Delete rows with one statement."""
        # Records are read in the order of their sequence, so mostly there is one run. It holds no
        # other rows: each number in it is one of these.
        values = [{"first": first, "last": last} for first, last in runs(sequences)]
        connection.execute(self._delete, values)

    def measure(self, connection: Connection) -> tuple[int, int | None]:
        """Return the number of rows and when the first was stored, unix ms; `None` without any."""
        pending, oldest_ms = connection.execute(self._measure).one()
        return pending, oldest_ms


def runs(numbers: Collection[int]) -> list[tuple[int, int]]:
    """Return the first and the last of each run of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


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
            (
                name if type(name) is str else str(name),
                None if value is None else value.encode("latin-1"),
            )
            for name, value in json.loads(packed.decode())
        ]
    except (TypeError, AttributeError) as error:
        raise ValueError("the stored headers cannot be read") from error
