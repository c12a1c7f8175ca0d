"""Inventory: reserves stock, all items of an order or none, and releases it.

The stock of a product is the fold of its events (`stock_log`). The table `reservations` has the
answer that each order got, so that a repeated command gets the same.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, String, Table, bindparam, select, update

from demo_pipeline.domain.catalogue import PRICES
from demo_pipeline.domain.commands import ReleaseInventory, ReserveInventory
from demo_pipeline.domain.events import StockRejected, StockReleased, StockReserved
from demo_pipeline.domain.stock import StockChange
from demo_pipeline.runtime.database import insert_once
from demo_pipeline.runtime.service import Service
from demo_pipeline.services import stock_log
from demo_pipeline.services.stock_tables import STOCK, TABLES

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.events import Event, Order
    from demo_pipeline.domain.stock import ProductStock

FIRST_STOCK: Final = 1_000_000
"""The initial stock of each product: more than any demo sells."""

RESERVED: Final = "reserved"
REJECTED: Final = "rejected"
RELEASED: Final = "released"

RESERVATIONS = Table(
    "reservations",
    TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("rejected_because", String(200)),
)

_OF_ORDER: Final = RESERVATIONS.c.order_id == bindparam("of_order")
_ANSWERED: Final = select(RESERVATIONS.c.state, RESERVATIONS.c.rejected_because).where(_OF_ORDER)
_REJECT: Final = (
    update(RESERVATIONS)
    .where(_OF_ORDER)
    .values(state=REJECTED, rejected_because=bindparam("because"))
)
_RELEASE: Final = (
    update(RESERVATIONS).where(_OF_ORDER, RESERVATIONS.c.state == RESERVED).values(state=RELEASED)
)


def fill(connection: Connection) -> None:
    """Record the initial stock of each new product; existing stock is left unchanged."""
    stock_log.set_up(dict.fromkeys(PRICES, FIRST_STOCK), connection)


def reserve(command: ReserveInventory, connection: Connection) -> tuple[Event, ...]:
    """Reserve an order's items if all are in stock; a repeated command gets the same answer."""
    order = command.order
    # Written first: SQLite locks the database, and PostgreSQL lets a repeated command wait.
    if not insert_once(connection, RESERVATIONS, order_id=order.order_id, state=RESERVED):
        return (_answer_again(order, connection),)
    wanted = _wanted(order)
    products = stock_log.lock_and_load(wanted, connection)
    because = sold_out(wanted, {sku: each.state.available for sku, each in products.items()})
    if because is None:
        _record(StockChange.RESERVED, order, products, connection)
        return (_answer(order, RESERVED, None),)
    connection.execute(_REJECT, {"of_order": order.order_id, "because": because})
    return (_answer(order, REJECTED, because),)


def release(command: ReleaseInventory, connection: Connection) -> tuple[Event, ...]:
    """Release the reservation, if there is one; a later reservation is refused."""
    order = command.order
    if not insert_once(connection, RESERVATIONS, order_id=order.order_id, state=RELEASED):
        was_reserved = connection.execute(_RELEASE, {"of_order": order.order_id})
        if was_reserved.rowcount:
            products = stock_log.lock_and_load(_wanted(order), connection)
            _record(StockChange.RELEASED, order, products, connection)
    return (StockReleased(order),)


def sold_out(wanted: dict[str, int], available: dict[str, int]) -> str | None:
    """Return what is sold out, or `None` if everything is in stock."""
    missing = sorted(sku for sku, quantity in wanted.items() if available.get(sku, 0) < quantity)
    return f"sold out: {', '.join(missing)}"[:200] if missing else None


async def available(sku: str, connection: AsyncConnection) -> int:
    """Return the unreserved stock of a product; 0 for an unknown one."""
    query = select(STOCK.c.available).where(STOCK.c.sku == sku)
    return await connection.scalar(query) or 0


def _answer_again(order: Order, connection: Connection) -> StockReserved | StockRejected:
    """Return the answer to a command that was handled before."""
    state, because = connection.execute(_ANSWERED, {"of_order": order.order_id}).one()
    return _answer(order, state, because)


def _record(
    change: StockChange,
    order: Order,
    products: dict[str, ProductStock],
    connection: Connection,
) -> None:
    """Record what happened to an order's items, and store it."""
    now_ns = time_ns()
    for sku, quantity in _wanted(order).items():
        if sku in products:
            products[sku].record(change, quantity, now_ns, order.order_id)
    stock_log.save(products.values(), connection)


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
    tables=TABLES,
    handlers={ReserveInventory: reserve, ReleaseInventory: release},
    fill=fill,
)
