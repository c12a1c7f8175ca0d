"""Inventory: sets stock aside for orders, all of an order or nothing, and takes it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update

from demo_pipeline.domain.catalogue import PRICES
from demo_pipeline.domain.commands import ReleaseInventory, ReserveInventory
from demo_pipeline.domain.events import StockRejected, StockReleased, StockReserved
from demo_pipeline.runtime.database import insert_once
from demo_pipeline.runtime.service import Service

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.events import Event, Order

FIRST_STOCK: Final = 1_000_000
"""Pieces of each product in a new shop: finite, and more than any demo sells."""

RESERVED: Final = "reserved"
REJECTED: Final = "rejected"
RELEASED: Final = "released"

_TABLES = MetaData()
_STOCK = Table(
    "stock",
    _TABLES,
    Column("sku", String(64), primary_key=True),
    Column("available", Integer, nullable=False),
)
_RESERVATIONS = Table(
    "reservations",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("rejected_because", String(200)),
)


async def fill(connection: AsyncConnection) -> None:
    """Stock a new shop; one that is open already keeps what it has."""
    for sku in PRICES:
        await insert_once(connection, _STOCK, sku=sku, available=FIRST_STOCK)


async def reserve(command: ReserveInventory, connection: AsyncConnection) -> tuple[Event, ...]:
    """Set stock aside, if all of it is there; asked again, answer as before."""
    order = command.order
    found = await _reservation(order, connection)
    if found is not None:
        return (_answer(order, *found),)
    # Locked in one order by everybody, so that two orders never wait for each other.
    rows = await connection.execute(
        select(_STOCK.c.sku, _STOCK.c.available)
        .where(_STOCK.c.sku.in_(_wanted(order)))
        .order_by(_STOCK.c.sku)
        .with_for_update()
    )
    available = {sku: pieces for sku, pieces in rows}  # noqa: C416 - rows are no pairs to mypy
    because = sold_out(_wanted(order), available)
    state = RESERVED if because is None else REJECTED
    if state == RESERVED:
        await _move(order, -1, connection)
    await connection.execute(
        insert(_RESERVATIONS).values(order_id=order.order_id, state=state, rejected_because=because)
    )
    return (_answer(order, state, because),)


async def release(command: ReleaseInventory, connection: AsyncConnection) -> tuple[Event, ...]:
    """Take back what is set aside, if anything is; a reservation that comes later is refused."""
    order = command.order
    found = await _reservation(order, connection)
    if found is None:
        await connection.execute(
            insert(_RESERVATIONS).values(order_id=order.order_id, state=RELEASED)
        )
    elif found[0] == RESERVED:
        await _move(order, +1, connection)
        await connection.execute(
            update(_RESERVATIONS)
            .where(_RESERVATIONS.c.order_id == order.order_id)
            .values(state=RELEASED)
        )
    return (StockReleased(order),)


def sold_out(wanted: dict[str, int], available: dict[str, int]) -> str | None:
    """Say what is missing, or `None` when everything is there."""
    missing = sorted(sku for sku, quantity in wanted.items() if available.get(sku, 0) < quantity)
    return f"sold out: {', '.join(missing)}"[:200] if missing else None


async def available(sku: str, connection: AsyncConnection) -> int:
    """Pieces of a product that are not set aside; 0 for a product that is unknown."""
    found = await connection.scalar(select(_STOCK.c.available).where(_STOCK.c.sku == sku))
    return found or 0


async def _reservation(order: Order, connection: AsyncConnection) -> tuple[str, str | None] | None:
    """How an order's reservation stands, and why it was rejected; `None` where there is none."""
    found = await connection.execute(
        select(_RESERVATIONS.c.state, _RESERVATIONS.c.rejected_because)
        .where(_RESERVATIONS.c.order_id == order.order_id)
        .with_for_update()
    )
    row = found.one_or_none()
    return None if row is None else (row.state, row.rejected_because)


async def _move(order: Order, sign: int, connection: AsyncConnection) -> None:
    """Put an order's pieces into the stock, or take them out."""
    for sku, quantity in sorted(_wanted(order).items()):
        await connection.execute(
            update(_STOCK)
            .where(_STOCK.c.sku == sku)
            .values(available=_STOCK.c.available + sign * quantity)
        )


def _wanted(order: Order) -> dict[str, int]:
    wanted: dict[str, int] = {}
    for line in order.lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    return wanted


def _answer(order: Order, state: str, because: str | None) -> StockReserved | StockRejected:
    if state == RESERVED:
        return StockReserved(order, f"reservation-{order.order_id}")
    return StockRejected(order, because or "the order was cancelled")


SERVICE: Final = Service(
    name="inventory",
    tables=_TABLES,
    handlers={ReserveInventory: reserve, ReleaseInventory: release},
    fill=fill,
)
