"""Queries over the active generation of the read models of analytics, one page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from demo_pipeline.domain.order_states import PAID_STATES, OrderState
from demo_pipeline.services.read_models import (
    ORDER_VIEW,
    ORDERS,
    PRODUCT_SALES,
    PRODUCTS,
    READ_MODELS,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

_ORDERS: Final = ORDER_VIEW.c.generation == READ_MODELS.active(ORDERS.name)
_SALES: Final = PRODUCT_SALES.c.generation == READ_MODELS.active(PRODUCTS.name)


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order, as the view has it."""

    order_id: str
    user_id: str
    total_cents: int
    state: OrderState


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Some orders, and whether there are more after the last one."""

    orders: tuple[OrderRow, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class ProductRow:
    """What was sold of a product: paid and not cancelled."""

    sku: str
    orders: int
    units: int
    revenue_cents: int


async def orders_page(
    connection: AsyncConnection,
    *,
    state: OrderState | None = None,
    user_id: str | None = None,
    after: str = "",
    limit: int,
) -> OrderPage:
    """Return the orders whose ids follow `after`, in the order of their ids.

    Args:
        connection: Inside a transaction that sees one snapshot.
        state: Only orders in this state.
        user_id: Only orders of this user.
        after: The last id of the page before.
        limit: How many at most.
    """
    chosen: list[ColumnElement[bool]] = [_ORDERS, ORDER_VIEW.c.order_id > after]
    if state is not None:
        chosen.append(ORDER_VIEW.c.state == state.value)
    if user_id is not None:
        chosen.append(ORDER_VIEW.c.user_id == user_id)
    view = ORDER_VIEW.c
    rows = await connection.execute(
        select(view.order_id, view.user_id, view.total_cents, view.state)
        .where(*chosen)
        .order_by(view.order_id)
        .limit(limit + 1)
    )
    orders = [OrderRow(one, user, cents, OrderState(at)) for one, user, cents, at in rows]
    return OrderPage(tuple(orders[:limit]), len(orders) > limit)


async def order_row(connection: AsyncConnection, order_id: str) -> OrderRow | None:
    """Return one order; `None` if the view does not have it."""
    view = ORDER_VIEW.c
    rows = await connection.execute(
        select(view.order_id, view.user_id, view.total_cents, view.state).where(
            _ORDERS, view.order_id == order_id
        )
    )
    row = rows.one_or_none()
    if row is None:
        return None
    return OrderRow(row.order_id, row.user_id, row.total_cents, OrderState(row.state))


async def product_rows(connection: AsyncConnection) -> tuple[ProductRow, ...]:
    """Return the sales of each product; there are as many as the catalogue has."""
    sales = PRODUCT_SALES.c
    rows = await connection.execute(
        select(sales.sku, func.count(), func.sum(sales.units), func.sum(sales.revenue_cents))
        .where(_SALES, sales.state.in_(PAID_STATES))
        .group_by(sales.sku)
        .order_by(sales.sku)
    )
    return tuple(
        ProductRow(sku, orders, int(units), int(cents)) for sku, orders, units, cents in rows
    )
