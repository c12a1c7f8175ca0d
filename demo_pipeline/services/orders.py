"""Orders: takes orders and keeps track of how far they have come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update

from demo_pipeline.commands import PlaceOrder
from demo_pipeline.events import (
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    StockRejected,
    StockReserved,
)
from demo_pipeline.order_states import END_STATES, STAGE, STATE_AFTER, OrderState
from demo_pipeline.service import Service

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.events import (
        Event,
    )

_TABLES = MetaData()
_ORDERS = Table(
    "orders",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("total_cents", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stage", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class OrderStatus:
    """What a customer may know of an order."""

    order_id: str
    user_id: str
    total_cents: int
    state: OrderState


async def place_order(command: PlaceOrder, connection: AsyncConnection) -> tuple[Event, ...]:
    """Take an order."""
    order = command.order
    await connection.execute(
        insert(_ORDERS).values(
            order_id=order.order_id,
            user_id=order.user_id,
            total_cents=order.total_cents,
            state=OrderState.PLACED,
            stage=STAGE[OrderState.PLACED],
        )
    )
    return (OrderPlaced(order),)


async def follow(event: Event, connection: AsyncConnection) -> tuple[Event, ...]:
    """Note how far an order has come; orders of another database are none of ours."""
    state = STATE_AFTER[type(event)]
    await connection.execute(
        update(_ORDERS)
        .where(_ORDERS.c.order_id == event.order.order_id, _ORDERS.c.stage < STAGE[state])
        .values(state=state, stage=STAGE[state])
    )
    return ()


async def status_of(order_id: str, connection: AsyncConnection) -> OrderStatus | None:
    """Look an order up; `None` when there is none of this id."""
    columns = (_ORDERS.c.order_id, _ORDERS.c.user_id, _ORDERS.c.total_cents, _ORDERS.c.state)
    found = await connection.execute(select(*columns).where(_ORDERS.c.order_id == order_id))
    row = found.one_or_none()
    if row is None:
        return None
    return OrderStatus(row.order_id, row.user_id, row.total_cents, OrderState(row.state))


async def ended_orders(connection: AsyncConnection) -> frozenset[str]:
    """The ids of all orders that have come to their end."""
    ended = await connection.scalars(
        select(_ORDERS.c.order_id).where(_ORDERS.c.state.in_(END_STATES))
    )
    return frozenset(ended)


SERVICE: Final = Service(
    name="orders",
    tables=_TABLES,
    handlers={
        PlaceOrder: place_order,
        StockReserved: follow,
        StockRejected: follow,
        PaymentCharged: follow,
        PaymentDeclined: follow,
        OrderShipped: follow,
    },
)
