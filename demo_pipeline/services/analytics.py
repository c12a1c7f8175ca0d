"""Analytics: a read model of all orders, built from events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, MetaData, String, Table, func, select, update

from demo_pipeline.domain.order_states import (
    END_STATES,
    PAID_STATES,
    STAGE,
    STATE_AFTER,
    OrderState,
)
from demo_pipeline.runtime.database import insert_once
from demo_pipeline.runtime.service import Service

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.events import Event

_TABLES = MetaData()
_ORDERS = Table(
    "order_view",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("total_cents", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stage", Integer, nullable=False),
)


async def record(event: Event, connection: AsyncConnection) -> tuple[Event, ...]:
    """Apply an event to the read model; events may arrive in any order."""
    order, state = event.order, STATE_AFTER[type(event)]
    new = await insert_once(
        connection,
        _ORDERS,
        order_id=order.order_id,
        user_id=order.user_id,
        total_cents=order.total_cents,
        state=state,
        stage=STAGE[state],
    )
    if not new:
        await connection.execute(
            update(_ORDERS)
            .where(_ORDERS.c.order_id == order.order_id, _ORDERS.c.stage < STAGE[state])
            .values(state=state, stage=STAGE[state])
        )
    return ()


async def orders_by_state(connection: AsyncConnection) -> dict[OrderState, int]:
    """Count the orders in each state."""
    counted = await connection.execute(
        select(_ORDERS.c.state, func.count()).group_by(_ORDERS.c.state)
    )
    return {OrderState(state): number for state, number in counted}


async def revenue_cents(connection: AsyncConnection) -> int:
    """Return the total of all paid orders, in cents."""
    paid = select(func.sum(_ORDERS.c.total_cents)).where(_ORDERS.c.state.in_(PAID_STATES))
    return await connection.scalar(paid) or 0


async def ended_orders(connection: AsyncConnection) -> dict[str, OrderState]:
    """Return all orders that have ended, with their states."""
    ended = await connection.execute(
        select(_ORDERS.c.order_id, _ORDERS.c.state).where(_ORDERS.c.state.in_(END_STATES))
    )
    return {order_id: OrderState(state) for order_id, state in ended}


SERVICE: Final = Service(
    name="analytics",
    tables=_TABLES,
    handlers=dict.fromkeys(STATE_AFTER, record),
)
