"""The stock of a product, now or at an earlier moment, read from the inventory's database."""

from __future__ import annotations

import re
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, select

from demo_pipeline.domain.stock import EMPTY, BrokenStreamError, fold
from demo_pipeline.runtime.errors import DemoError
from demo_pipeline.services.stock_history import history, newest_snapshot
from demo_pipeline.services.stock_tables import EVENTS, STOCK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from demo_pipeline.domain.stock import StockEvent, StockState

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SEQUENCE: Final = re.compile(r"[0-9]{1,18}")
_AGE: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True)
class Until:
    """How far to read a stream; by default to its end.

    Attributes:
        sequence: The last event to read.
        at_ns: The time of the last event to read, unix ns.
    """

    sequence: int = sys.maxsize
    at_ns: int = sys.maxsize


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStatus:
    """One event of a product.

    Attributes:
        sequence: Its place in the stream.
        at: When it was recorded, ISO 8601.
        change: What happened.
        quantity: The number of pieces.
        order_id: The order that caused it, if one did.
    """

    sequence: int
    at: str
    change: str
    quantity: int
    order_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StockStatus:
    """The stock of one product.

    Attributes:
        sku: The product.
        sequence: The last event that counts; 0 before the first one.
        at: When it was recorded, ISO 8601.
        available: The pieces that can be reserved.
        received: All pieces that had arrived.
        reserved: All pieces that had been reserved.
        released: All pieces that had been released again.
        snapshot: The event of the snapshot that the state was built from; 0 for the beginning.
        events_read: The number of events that were read after it.
        events: The last events; only for a single product.
    """

    sku: str
    sequence: int
    at: str | None
    available: int
    received: int
    reserved: int
    released: int
    snapshot: int
    events_read: int
    events: tuple[EventStatus, ...] = ()


def parse_until(text: str) -> Until:
    """Parse the sequence of an event, an ISO 8601 time (UTC without a zone) or an age.

    Raises:
        ValueError: The text is none of them.
    """
    if _SEQUENCE.fullmatch(text):
        return Until(sequence=int(text))
    age = _AGE.fullmatch(text)
    if age is not None:
        return Until(at_ns=time_ns() - int(age[1]) * _UNITS_S[age[2]] * 1_000_000_000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither the number of an event, nor a time such as 2026-11-23T03:00, nor "
            "an age such as 90s, 15m, 2h or 3d"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # The whole microsecond: the printed time of an event includes the event.
    return Until(at_ns=(moment - _EPOCH) // timedelta(microseconds=1) * 1000 + 999)


async def listed(database: AsyncEngine) -> list[StockStatus]:
    """Return the stock of all products, by name."""
    async with one_moment(database) as connection:
        return await connection.run_sync(_listed)


async def shown(
    database: AsyncEngine, sku: str, until: Until, *, from_beginning: bool, events: int
) -> StockStatus:
    """Return the stock of one product.

    Args:
        database: The inventory's database.
        sku: The product.
        until: How far to read its stream.
        from_beginning: Whether to ignore snapshots.
        events: How many of the last events to return.

    Raises:
        DemoError: There is no such product or no such event, or the stream is broken.
    """
    async with one_moment(database) as connection:
        known = await connection.run_sync(products)
        if sku not in known:
            raise DemoError(f"there is no product {sku!r}; there are {', '.join(known) or 'none'}")
        return await connection.run_sync(
            _status, sku, until, from_beginning=from_beginning, events=events
        )


@asynccontextmanager
async def one_moment(database: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a connection that sees the database as it is now, even if a service writes to it.

    Raises:
        DemoError: The database has no log of the stock.
    """
    async with database.connect() as connection:
        if connection.dialect.name == "sqlite":
            await connection.exec_driver_sql("BEGIN")
        else:
            await connection.execution_options(isolation_level="REPEATABLE READ")
        tables = await connection.run_sync(_tables)
        if STOCK.name in tables and EVENTS.name not in tables:
            raise DemoError(
                "the database of inventory is from a version that kept no log of the stock: start "
                "`serve inventory` or `run --databases` on it once, and the log opens with the "
                "stock that is there"
            )
        yield connection


def products(connection: Connection) -> list[str]:
    """Return all products that have stock or events, by name."""
    # Separate queries: a union would sort every event.
    stored = connection.scalars(select(STOCK.c.sku))
    recorded = connection.scalars(select(EVENTS.c.sku).where(EVENTS.c.sequence == 1))
    return sorted({*stored.all(), *recorded.all()})


def moment(unix_ns: int) -> str:
    """Format a time as ISO 8601, in microseconds."""
    time = _EPOCH + timedelta(microseconds=unix_ns // 1000)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _listed(connection: Connection) -> list[StockStatus]:
    return [_status(connection, sku, Until(), from_beginning=False) for sku in products(connection)]


def _status(
    connection: Connection, sku: str, until: Until, *, from_beginning: bool, events: int = 0
) -> StockStatus:
    snapshot = state = EMPTY
    if not from_beginning:
        snapshot = state = newest_snapshot(
            sku, connection, sequence=until.sequence, at_ns=until.at_ns
        )
    try:
        for event in history(sku, connection, after=state.sequence):
            if event.sequence > until.sequence or event.at_ns > until.at_ns:
                break
            state = fold((event,), state)
    except BrokenStreamError as error:
        raise DemoError(f"the stream of {sku} is broken: {error}") from error
    if state.sequence < until.sequence < sys.maxsize:
        raise DemoError(f"{sku} has no event {until.sequence}: its last one is {state.sequence}")
    return StockStatus(
        sku=sku,
        sequence=state.sequence,
        at=moment(state.at_ns) if state.sequence else None,
        available=state.available,
        received=state.received,
        reserved=state.reserved,
        released=state.released,
        snapshot=snapshot.sequence,
        events_read=state.sequence - snapshot.sequence,
        events=tuple(_event(each) for each in _last(sku, connection, state, events)),
    )


def _last(sku: str, connection: Connection, state: StockState, events: int) -> Iterator[StockEvent]:
    """Read the last events that a state counts."""
    if not events:
        return
    for event in history(sku, connection, after=max(0, state.sequence - events)):
        if event.sequence > state.sequence:
            return
        yield event


def _event(event: StockEvent) -> EventStatus:
    return EventStatus(
        sequence=event.sequence,
        at=moment(event.at_ns),
        change=event.change,
        quantity=event.quantity,
        order_id=event.order_id,
    )


def _tables(connection: Connection) -> list[str]:
    return inspect(connection).get_table_names()
