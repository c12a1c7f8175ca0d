"""Shipping: sends paid orders off, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, String, Table, func, insert, select

from demo_pipeline.commands import ShipOrder
from demo_pipeline.events import OrderShipped
from demo_pipeline.service import Service

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.events import Event

_TABLES = MetaData()
_SHIPMENTS = Table(
    "shipments",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("ship_to", String(200), nullable=False),
)


async def ship(command: ShipOrder, connection: AsyncConnection) -> tuple[Event, ...]:
    """Send an order off."""
    order = command.order
    await connection.execute(
        insert(_SHIPMENTS).values(order_id=order.order_id, ship_to=order.ship_to)
    )
    return (OrderShipped(order, f"shipment-{order.order_id}"),)


async def shipments(connection: AsyncConnection) -> int:
    """Number of orders that were sent off."""
    return await connection.scalar(select(func.count()).select_from(_SHIPMENTS)) or 0


SERVICE: Final = Service(name="shipping", tables=_TABLES, handlers={ShipOrder: ship})
