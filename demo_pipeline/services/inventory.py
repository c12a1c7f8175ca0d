"""Inventory: reserves stock, all items of an order or none, and releases it."""

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
"""The initial stock of each product: more than any demo sells."""

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
    """Insert the initial stock; existing stock is left unchanged."""
    for sku in PRICES:
        await insert_once(connection, _STOCK, sku=sku, available=FIRST_STOCK)


async def reserve(command: ReserveInventory, connection: AsyncConnection) -> tuple[Event, ...]:
    """Reserve an order's items if all are in stock; a repeated command gets the same answer."""
    order = command.order
    reservation = await _reservation(order, connection)
    if reservation is not None:
        return (_answer(order, *reservation),)
    # Every order locks products in the same sequence, so that two orders never deadlock.
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
    """Release the reservation, if there is one; a later reservation is refused."""
    order = command.order
    reservation = await _reservation(order, connection)
    if reservation is None:
        await connection.execute(
            insert(_RESERVATIONS).values(order_id=order.order_id, state=RELEASED)
        )
    elif reservation[0] == RESERVED:
        await _move(order, +1, connection)
        await connection.execute(
            update(_RESERVATIONS)
            .where(_RESERVATIONS.c.order_id == order.order_id)
            .values(state=RELEASED)
        )
    return (StockReleased(order),)


def sold_out(wanted: dict[str, int], available: dict[str, int]) -> str | None:
    """Return what is sold out, or `None` if everything is in stock."""
    missing = sorted(sku for sku, quantity in wanted.items() if available.get(sku, 0) < quantity)
    return f"sold out: {', '.join(missing)}"[:200] if missing else None


async def available(sku: str, connection: AsyncConnection) -> int:
    """Return the unreserved stock of a product; 0 for an unknown one."""
    query = select(_STOCK.c.available).where(_STOCK.c.sku == sku)
    return await connection.scalar(query) or 0


async def _reservation(order: Order, connection: AsyncConnection) -> tuple[str, str | None] | None:
    """Return the state of an order's reservation and why it was rejected, if there is one."""
    rows = await connection.execute(
        select(_RESERVATIONS.c.state, _RESERVATIONS.c.rejected_because)
        .where(_RESERVATIONS.c.order_id == order.order_id)
        .with_for_update()
    )
    row = rows.one_or_none()
    return None if row is None else (row.state, row.rejected_because)


async def _move(order: Order, sign: int, connection: AsyncConnection) -> None:
    """Add an order's items to the stock, or with a negative sign remove them."""
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
