"""What the databases of a shop say together: is every order done, and nothing done twice?"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from demo_pipeline.catalogue import PRICES
from demo_pipeline.order_states import END_STATES, PAID_STATES
from demo_pipeline.services.inventory import FIRST_STOCK

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def discrepancies(folder: Path, accepted: Iterable[str]) -> list[str]:
    """Say what does not add up, one line each; nothing when every order is done exactly once."""
    placed = dict(_rows(folder, "orders", "SELECT order_id, state FROM orders"))
    totals = dict(_rows(folder, "orders", "SELECT order_id, total_cents FROM orders"))
    view = dict(_rows(folder, "analytics", "SELECT order_id, state FROM order_view"))
    charged = dict(_rows(folder, "payment", "SELECT order_id, charged_cents FROM payments"))
    reserved = dict(
        _rows(folder, "inventory", "SELECT order_id, rejected_because FROM reservations")
    )
    shipped = {row[0] for row in _rows(folder, "shipping", "SELECT order_id FROM shipments")}
    stock = dict(_rows(folder, "inventory", "SELECT sku, available FROM stock"))
    paid = {order_id for order_id, state in placed.items() if state in PAID_STATES}
    held = {order_id for order_id, because in reserved.items() if because is None}
    taken = sum(PRICES[sku] * (FIRST_STOCK - left) for sku, left in stock.items())
    found = [
        _listed("were accepted and are gone", set(accepted) - placed.keys()),
        _listed(
            "have not come to their end",
            {order_id for order_id, state in placed.items() if state not in END_STATES},
        ),
        _listed(
            "ended otherwise for analytics",
            {order_id for order_id, state in placed.items() if view.get(order_id) != state},
        ),
        _listed("are only in the read model", view.keys() - placed.keys()),
        _listed("have no reservation", placed.keys() - reserved.keys()),
        _listed(
            "were not charged what they cost",
            {order_id for order_id in paid if charged.get(order_id) != totals[order_id]},
        ),
        _listed("were paid and not shipped, or the reverse", paid ^ shipped),
        _unequal(
            "the stock that is gone is worth",
            taken,
            sum(totals.get(held_id, 0) for held_id in held),
        ),
        _unequal(
            "cards were charged", sum(charged.values()), sum(totals[order_id] for order_id in paid)
        ),
        *(
            f"{service} still has {number} messages in its outbox"
            for service in ("orders", "inventory", "payment", "shipping")
            if (number := _rows(folder, service, "SELECT count(*) FROM outbox")[0][0])
        ),
    ]
    return [line for line in found if line]


def _listed(what: str, order_ids: set[str]) -> str:
    if not order_ids:
        return ""
    return f"{len(order_ids)} orders {what}: {', '.join(sorted(order_ids)[:3])}"


def _unequal(what: str, found: int, expected: int) -> str:
    return "" if found == expected else f"{what} {found} cents instead of {expected}"


def _rows(folder: Path, service: str, statement: str) -> list[Any]:
    with closing(sqlite3.connect(folder / f"{service}.sqlite3", timeout=30)) as database:
        return database.execute(statement).fetchall()
