"""Notification: notifies customers of the outcome of their orders; it reacts to events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, MetaData, String, Table

from demo_pipeline.domain.events import CustomerNotified, OrderCancelled, OrderHeld, OrderShipped
from demo_pipeline.runtime.database import insert_once
from demo_pipeline.runtime.service import Service

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from demo_pipeline.domain.events import Event

_TABLES = MetaData()
_NOTIFICATIONS = Table(
    "notifications",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("about", String(32), primary_key=True),
    Column("user_id", String(64), nullable=False),
)


def notify(
    event: OrderShipped | OrderCancelled | OrderHeld, connection: Connection
) -> tuple[Event, ...]:
    """Notify the customer, once per outcome."""
    order, about = event.order, type(event).__name__
    insert_once(
        connection, _NOTIFICATIONS, order_id=order.order_id, about=about, user_id=order.user_id
    )
    return (CustomerNotified(order, about),)


SERVICE: Final = Service(
    name="notification",
    tables=_TABLES,
    handlers=dict.fromkeys((OrderShipped, OrderCancelled, OrderHeld), notify),
)
