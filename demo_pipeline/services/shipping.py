"""Shipping: ships paid orders, each once, and recalls parcels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, String, Table, bindparam, func, select, update

from demo_pipeline.domain.commands import CancelShipment, ShipOrder
from demo_pipeline.domain.events import OrderShipped, ShipmentCancelled, ShippingRefused
from demo_pipeline.runtime.database import insert_once
from demo_pipeline.runtime.service import Service

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.events import Event

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


_STATE: Final = select(_SHIPMENTS.c.state).where(_SHIPMENTS.c.order_id == bindparam("of_order"))
_RECALL: Final = (
    update(_SHIPMENTS)
    .where(_SHIPMENTS.c.order_id == bindparam("of_order"), _SHIPMENTS.c.state == SHIPPED)
    .values(state=CANCELLED)
)


def ship(command: ShipOrder, connection: Connection) -> tuple[Event, ...]:
    """Ship an order; a repeated command gets the same answer."""
    order = command.order
    # Written first: a command that is repeated meanwhile waits, and finds this shipment.
    new = insert_once(
        connection, _SHIPMENTS, order_id=order.order_id, state=SHIPPED, ship_to=order.ship_to
    )
    if not new and connection.scalar(_STATE, {"of_order": order.order_id}) == CANCELLED:
        return (ShippingRefused(order, "the order was cancelled"),)
    return (OrderShipped(order, f"shipment-{order.order_id}"),)


def cancel(command: CancelShipment, connection: Connection) -> tuple[Event, ...]:
    """Recall the parcel, if there is one; a later shipment is refused."""
    order = command.order
    if not insert_once(connection, _SHIPMENTS, order_id=order.order_id, state=CANCELLED):
        connection.execute(_RECALL, {"of_order": order.order_id})
    return (ShipmentCancelled(order),)


async def shipments(connection: AsyncConnection) -> int:
    """Return the number of orders that were shipped and not recalled."""
    shipped = select(func.count()).where(_SHIPMENTS.c.state == SHIPPED)
    return await connection.scalar(shipped) or 0


SERVICE: Final = Service(
    name="shipping", tables=_TABLES, handlers={ShipOrder: ship, CancelShipment: cancel}
)
