"""What the services' databases say of every order, laid side by side."""

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
"""Whose database tells of which saga."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One order. What a service does not know of it is `None`, or 0 cents.

    Attributes:
        order_id: Which one.
        total_cents: What it costs.
        state: Where it stands for orders.
        view: Where it stands for analytics.
        phase: Where its saga stands, by the orchestrator's own state.
        outcome: How its saga ended, by what the orchestrator tells of it.
        notified: How the observed flow ended.
        reservation: How its reservation stands.
        payment: How its payment stands.
        charged_cents: What its card was charged.
        refunded_cents: What its card got back.
        shipment: How its shipment stands.
        told: What its customer was told of.
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
    told: frozenset[str]

    @property
    def kept_cents(self) -> int:
        """What its card was charged and did not get back."""
        return self.charged_cents - self.refunded_cents


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All orders, and what belongs to none of them.

    Attributes:
        accounts: By order id, all orders that the service `orders` has.
        strays: By service and table, the order ids that the service `orders` does not have.
        available: Pieces in stock, by product.
        outboxes: Messages that a service has not sent, by service.
    """

    accounts: dict[str, Account]
    strays: dict[str, set[str]]
    available: dict[str, int]
    outboxes: dict[str, int]


def read_books(folder: Path) -> Books:
    """Read all databases, one after the other: only when all is quiet are they of one moment."""
    placed = {row[0]: row[1:] for row in rows(folder, "orders", _ORDERS)}
    kept = {name: dict(_pairs(rows(folder, *query))) for name, query in _QUERIES.items()}
    told: dict[str, set[str]] = {}
    for order_id, about in rows(folder, "notification", _NOTIFICATIONS):
        told.setdefault(order_id, set()).add(about)
    nothing = (None,)
    accounts = {}
    for order_id, (state, total_cents) in placed.items():
        payment = kept["payments"].get(order_id, (None, 0, 0))
        accounts[order_id] = Account(
            order_id=order_id,
            total_cents=total_cents,
            state=state,
            view=kept["view"].get(order_id, nothing)[0],
            phase=kept["states"].get(order_id, nothing)[0],
            outcome=kept["sagas"].get(order_id, nothing)[0],
            notified=kept["flows"].get(order_id, nothing)[0],
            reservation=kept["reservations"].get(order_id, nothing)[0],
            payment=payment[0],
            charged_cents=payment[1],
            refunded_cents=payment[2],
            shipment=kept["shipments"].get(order_id, nothing)[0],
            told=frozenset(told.get(order_id, ())),
        )
    known = {**{name: found.keys() for name, found in kept.items()}, "told": told.keys()}
    return Books(
        accounts=accounts,
        strays={name: strays for name, ids in known.items() if (strays := ids - placed.keys())},
        available=dict(rows(folder, "inventory", "SELECT sku, available FROM stock")),
        outboxes={
            service: number
            for service in _SENDERS
            if (number := rows(folder, service, "SELECT count(*) FROM outbox")[0][0])
        },
    )


def rows(folder: Path, service: str, statement: str, *values: object) -> list[Any]:
    """Ask a service's database.

    Raises:
        sqlite3.OperationalError: The service has never run, or not for long enough.
    """
    file = f"file:{folder / service}.sqlite3?mode=rw"
    with closing(sqlite3.connect(file, timeout=30, uri=True)) as database:
        return database.execute(statement, values).fetchall()


def _pairs(found: Iterable[Any]) -> Iterable[tuple[str, tuple[Any, ...]]]:
    return ((row[0], tuple(row[1:])) for row in found)


_SENDERS = ("orders", "orchestrator", "inventory", "payment", "shipping", "notification")
_ORDERS = "SELECT order_id, state, total_cents FROM orders"
_NOTIFICATIONS = "SELECT order_id, about FROM notifications"
_ENDS = "SELECT saga_id, outcome FROM saga_instances WHERE saga = '{}'"
_QUERIES = {
    "view": ("analytics", "SELECT order_id, state FROM order_view"),
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
