"""A log in memory, and a read model that is kept in a database as well as one that is in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Integer, MetaData, String, Table, select

from tracing.kafka.transport import KAFKA
from tracing.messaging.transport import ClientInfo
from tracing.replay import LogPartition, LogRange
from tracing.sql import Projection, SqlProjections, keep_highest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

METADATA = MetaData()
READ_MODELS = SqlProjections(metadata=METADATA)
VIEW = Table(
    "view",
    METADATA,
    Column("generation", Integer, primary_key=True),
    Column("key", String(40), primary_key=True),
    Column("value", Integer, nullable=False),
)


async def _apply(connection: AsyncConnection, generation: int, events: Sequence[Any]) -> None:
    rows = [{"generation": generation, "key": key, "value": value} for key, value in events]
    await keep_highest(connection, VIEW, rows, rank="value")


ORDERS = Projection("orders", ("orders",), (VIEW,), _apply)


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the log; its value is `key=number`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


async def decode(record: Record) -> tuple[str, int] | None:
    """Return key and number."""
    if record.value is None:
        return None
    key, _, number = record.value.decode().partition("=")
    return key, int(number)


@dataclass
class Log:
    """Partitions of the topic `orders`."""

    partitions: dict[LogPartition, list[Record]] = field(default_factory=dict)
    begins: dict[LogPartition, int] = field(default_factory=dict)

    def add(
        self, value: str | None, partition: int = 0, *, headers: Any = (), timestamp: int = 0
    ) -> Record:
        """Append a record."""
        records = self.partitions.setdefault(LogPartition("orders", partition), [])
        offset = records[-1].offset + 1 if records else 0
        encoded = None if value is None else value.encode()
        record = Record(
            "orders", partition, offset, timestamp or 1000 + offset, encoded, headers=headers
        )
        records.append(record)
        return record


class LogSource:
    """Reads a `Log`: a `ReplaySource`."""

    def __init__(self, log: Log, before_read: Callable[[], object] = lambda: None) -> None:
        self._log, self._before_read = log, before_read
        self._positions: dict[LogPartition, int] = {}
        self._left: set[LogPartition] = set()
        self.info = ClientInfo(transport=KAFKA)

    async def ranges(self, topics: Collection[str]) -> dict[LogPartition, LogRange]:
        return {
            each: LogRange(self._log.begins.get(each, 0), records[-1].offset + 1 if records else 0)
            for each, records in self._log.partitions.items()
            if each.topic in topics
        }

    async def offsets_at(
        self, partitions: Collection[LogPartition], unix_ms: int
    ) -> dict[LogPartition, int]:
        return {
            each: next(record.offset for record in records if record.timestamp >= unix_ms)
            for each, records in self._log.partitions.items()
            if each in partitions and any(record.timestamp >= unix_ms for record in records)
        }

    async def seek(self, positions: Mapping[LogPartition, int]) -> None:
        self._positions = dict(positions)
        self._left.clear()

    def leave(self, partitions: Collection[LogPartition]) -> None:
        self._left.update(partitions)

    async def read(self, limit: int, wait_s: float) -> Sequence[Any]:
        self._before_read()
        read: list[Record] = []
        for each, offset in self._positions.items():
            if each in self._left:
                continue
            records = self._log.partitions.get(each, [])
            more = [record for record in records if record.offset >= offset][: limit - len(read)]
            if more:
                read += more
                self._positions[each] = more[-1].offset + 1
        if not read:
            await asyncio.sleep(min(wait_s, 0.001))
        return read

    async def positions(self) -> dict[LogPartition, int]:
        return dict(self._positions)


class Live:
    """The live consumer of a log."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def handle(self, *records: Record) -> None:
        """Apply records, each in a transaction."""
        for record in records:
            async with self._engine.begin() as connection:
                generations = await READ_MODELS.advance(connection, ["orders"], record)
                event = await decode(record)
                if event is not None and "orders" in generations:
                    await ORDERS.apply(connection, generations["orders"], [event])


async def view(engine: AsyncEngine, generation: int | None = None) -> dict[str, int]:
    """Return the rows of a generation, by default the active one."""
    wanted = READ_MODELS.active("orders") if generation is None else generation
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(VIEW.c.key, VIEW.c.value).where(VIEW.c.generation == wanted)
        )
        return dict(sorted((key, value) for key, value in rows))


async def generations(engine: AsyncEngine) -> set[int]:
    """Return the generations that have rows."""
    async with engine.connect() as connection:
        return set(await connection.scalars(select(VIEW.c.generation).distinct()))
