"""Shipping: ships paid orders, each once, and recalls parcels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, String, Table, func, insert, select, update

from demo_pipeline.domain.commands import CancelShipment, ShipOrder
from demo_pipeline.domain.events import OrderShipped, ShipmentCancelled, ShippingRefused
from demo_pipeline.runtime.service import Service

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.events import Event, Order

SHIPPED: Final = "shipped"
CANCELLED: Final = "cancelled"

_TABLES = MetaData()
_SHIPMENTS = Table(
    "shipments",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("ship_to", String(200)),
)


async def ship(command: ShipOrder, connection: AsyncConnection) -> tuple[Event, ...]:
    """Ship an order; a repeated command gets the same answer."""
    order = command.order
    state = await _state(order, connection)
    if state == CANCELLED:
        return (ShippingRefused(order, "the order was cancelled"),)
    if state is None:
        await _note(order, SHIPPED, connection, ship_to=order.ship_to)
    return (OrderShipped(order, f"shipment-{order.order_id}"),)


async def cancel(command: CancelShipment, connection: AsyncConnection) -> tuple[Event, ...]:
    """Recall the parcel, if there is one; a later shipment is refused."""
    order = command.order
    state = await _state(order, connection)
    if state is None:
        await _note(order, CANCELLED, connection)
    elif state == SHIPPED:
        await connection.execute(
            update(_SHIPMENTS)
            .where(_SHIPMENTS.c.order_id == order.order_id)
            .values(state=CANCELLED)
        )
    return (ShipmentCancelled(order),)


async def shipments(connection: AsyncConnection) -> int:
    """Return the number of orders that were shipped and not recalled."""
    shipped = select(func.count()).where(_SHIPMENTS.c.state == SHIPPED)
    return await connection.scalar(shipped) or 0


async def _state(order: Order, connection: AsyncConnection) -> str | None:
    state: str | None = await connection.scalar(
        select(_SHIPMENTS.c.state).where(_SHIPMENTS.c.order_id == order.order_id).with_for_update()
    )
    return state


async def _note(
    order: Order, state: str, connection: AsyncConnection, ship_to: str | None = None
) -> None:
    await connection.execute(
        insert(_SHIPMENTS).values(order_id=order.order_id, state=state, ship_to=ship_to)
    )


SERVICE: Final = Service(
    name="shipping", tables=_TABLES, handlers={ShipOrder: ship, CancelShipment: cancel}
)
