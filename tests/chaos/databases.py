"""Read every order from all services' databases, for comparison."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo_pipeline.sagas.place_order import NAME
from demo_pipeline.services.observer import ORDER_NOTIFICATION

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SAGAS = {"orchestrator": NAME, "observer": ORDER_NOTIFICATION.name}
"""The saga that each service stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """One order. A value that a service does not store is `None`, or 0 cents.

    Attributes:
        order_id: The order's id.
        total_cents: Its price.
        state: Its state in the service `orders`.
        view: Its state in the service `analytics`.
        phase: The state of its saga, as the orchestrator stores it for itself.
        outcome: The outcome of its saga, as the orchestrator's saga tables have it.
        notified: The outcome of the observed flow.
        reservation: The state of its reservation.
        payment: The state of its payment.
        charged_cents: The amount that its card was charged.
        refunded_cents: The amount that its card got back.
        shipment: The state of its shipment.
        notifications: The events that its customer was notified of.
    """

    order_id: str
    total_cents: int
    state: str
    view: str | None
    phase: str | None
    outcome: str | None
    notified: str | None
    reservation: str | None
    payment: str | None
    charged_cents: int
    refunded_cents: int
    shipment: str | None
    notifications: frozenset[str]

    @property
    def kept_cents(self) -> int:
        """The amount that its card was charged and did not get back."""
        return self.charged_cents - self.refunded_cents


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """The contents of all databases.

    Attributes:
        orders: By order id, all orders of the service `orders`.
        unknown_orders: Order ids that the service `orders` does not have, by table.
        available: Pieces in stock, by product.
        outboxes: Number of unsent messages, by service; empty outboxes are left out.
    """

    orders: dict[str, OrderRecord]
    unknown_orders: dict[str, set[str]]
    available: dict[str, int]
    outboxes: dict[str, int]


def read_databases(folder: Path) -> Databases:
    """Read all databases, one after the other; they agree only while the services are idle."""
    placed = {row[0]: row[1:] for row in rows(folder, "orders", _ORDERS)}
    tables = {name: dict(_pairs(rows(folder, *query))) for name, query in _QUERIES.items()}
    notifications: dict[str, set[str]] = {}
    for order_id, about in rows(folder, "notification", _NOTIFICATIONS):
        notifications.setdefault(order_id, set()).add(about)
    absent = (None,)
    orders = {}
    for order_id, (state, total_cents) in placed.items():
        payment = tables["payments"].get(order_id, (None, 0, 0))
        orders[order_id] = OrderRecord(
            order_id=order_id,
            total_cents=total_cents,
            state=state,
            view=tables["view"].get(order_id, absent)[0],
            phase=tables["states"].get(order_id, absent)[0],
            outcome=tables["sagas"].get(order_id, absent)[0],
            notified=tables["flows"].get(order_id, absent)[0],
            reservation=tables["reservations"].get(order_id, absent)[0],
            payment=payment[0],
            charged_cents=payment[1],
            refunded_cents=payment[2],
            shipment=tables["shipments"].get(order_id, absent)[0],
            notifications=frozenset(notifications.get(order_id, ())),
        )
    order_ids = {name: set(table) for name, table in tables.items()}
    order_ids["notifications"] = set(notifications)
    return Databases(
        orders=orders,
        unknown_orders={
            name: unknown for name, ids in order_ids.items() if (unknown := ids - placed.keys())
        },
        available=dict(rows(folder, "inventory", "SELECT sku, available FROM stock")),
        outboxes={
            service: number
            for service in _SENDERS
            if (number := rows(folder, service, "SELECT count(*) FROM outbox")[0][0])
        },
    )


def rows(folder: Path, service: str, statement: str, *values: object) -> list[Any]:
    """Query a service's database.

    Raises:
        sqlite3.OperationalError: The service has not created its tables yet.
    """
    file = f"file:{folder / service}.sqlite3?mode=rw"
    with closing(sqlite3.connect(file, timeout=30, uri=True)) as database:
        return database.execute(statement, values).fetchall()


def _pairs(selected: Iterable[Any]) -> Iterable[tuple[str, tuple[Any, ...]]]:
    return ((row[0], tuple(row[1:])) for row in selected)


_SENDERS = ("orders", "orchestrator", "inventory", "payment", "shipping", "notification")
_ORDERS = "SELECT order_id, state, total_cents FROM orders"
_NOTIFICATIONS = "SELECT order_id, about FROM notifications"
_ENDS = "SELECT saga_id, outcome FROM saga_instances WHERE saga = '{}'"
_VIEW = (
    "SELECT order_id, state FROM order_view"
    " WHERE generation = (SELECT active FROM projection_models WHERE name = 'orders')"
)
_QUERIES = {
    "view": ("analytics", _VIEW),
    "states": ("orchestrator", "SELECT order_id, json_extract(state, '$.phase') FROM place_order"),
    "reservations": ("inventory", "SELECT order_id, state FROM reservations"),
    "payments": (
        "payment",
        "SELECT order_id, state, charged_cents, refunded_cents FROM payments",
    ),
    "shipments": ("shipping", "SELECT order_id, state FROM shipments"),
    "sagas": ("orchestrator", _ENDS.format(SAGAS["orchestrator"])),
    "flows": ("observer", _ENDS.format(SAGAS["observer"])),
}
