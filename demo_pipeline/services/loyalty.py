"""Loyalty: credits points for shipped orders, from events alone.

It runs in the scenario `late-joiner` only: it starts once all orders have ended, and reads the
topics from their beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, MetaData, String, Table, func, select

from demo_pipeline.domain.events import OrderCancelled, OrderHeld, OrderShipped
from demo_pipeline.runtime.database import insert_once
from demo_pipeline.runtime.service import Service

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.events import Event

_CENTS_PER_POINT: Final = 100

_TABLES = MetaData()
_POINTS = Table(
    "points",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("points", Integer, nullable=False),
)


def credit(event: OrderShipped, connection: Connection) -> tuple[Event, ...]:
    """Credit a shipped order: a point for each full dollar."""
    _note(event, event.order.total_cents // _CENTS_PER_POINT, connection)
    return ()


def pass_over(event: OrderCancelled | OrderHeld, connection: Connection) -> tuple[Event, ...]:
    """Note an order that earns nothing."""
    _note(event, 0, connection)
    return ()


async def seen_orders(connection: AsyncConnection) -> frozenset[str]:
    """Return the ids of all orders whose end is noted."""
    return frozenset(await connection.scalars(select(_POINTS.c.order_id)))


async def points(connection: AsyncConnection) -> int:
    """Return the total of all points."""
    return await connection.scalar(select(func.sum(_POINTS.c.points))) or 0


def _note(
    event: OrderShipped | OrderCancelled | OrderHeld, earned: int, connection: Connection
) -> None:
    order = event.order
    insert_once(connection, _POINTS, order_id=order.order_id, user_id=order.user_id, points=earned)


SERVICE: Final = Service(
    name="loyalty",
    tables=_TABLES,
    handlers={
        OrderShipped: credit,
        **dict.fromkeys((OrderCancelled, OrderHeld), pass_over),
    },
)
