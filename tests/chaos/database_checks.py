"""Check in the shop's databases that every order is finished and nothing was done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_pipeline.domain.catalogue import PRICES
from demo_pipeline.domain.events import OrderCancelled, OrderHeld, OrderShipped
from demo_pipeline.domain.order_states import END_STATES, OrderState
from demo_pipeline.services.inventory import FIRST_STOCK, REJECTED, RELEASED, RESERVED
from demo_pipeline.services.payment import CHARGED
from demo_pipeline.services.shipping import CANCELLED, SHIPPED
from tests.chaos.databases import SAGAS, read_databases
from tests.chaos.saga_counts import counts_from_rows, counts_from_totals
from tests.chaos.stock_log import stock_log_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.chaos.databases import Databases, OrderRecord

    Rule = Callable[[OrderRecord], bool]

_OF_ALL: dict[str, Rule] = {
    "are not finished": lambda order: order.state in END_STATES,
    "have a saga that has not ended": lambda order: order.outcome is not None,
    "have a saga with two different outcomes": lambda order: order.phase == order.outcome,
    "have another state in analytics": lambda order: order.view == order.state,
    "have an observed flow that has not ended": lambda order: order.notified == "completed",
}

# The saga's outcome determines everything else that is stored about the order.
_OF_ENDED: dict[str, dict[str, Rule]] = {
    "completed": {
        "are not shipped": lambda order: order.state == OrderState.SHIPPED,
        "have no stock": lambda order: order.reservation == RESERVED,
        "were not charged what they cost": lambda order: (
            order.payment == CHARGED and order.kept_cents == order.total_cents
        ),
        "got money back": lambda order: not order.refunded_cents,
        "have no shipment": lambda order: order.shipment == SHIPPED,
        "notified their customers wrongly": lambda order: (
            order.notifications == {OrderShipped.__name__}
        ),
    },
    "compensated": {
        "are not cancelled": lambda order: order.state == OrderState.CANCELLED,
        "have stock": lambda order: order.reservation in {RELEASED, REJECTED},
        "are paid": lambda order: order.payment != CHARGED and not order.kept_cents,
        "have a shipment": lambda order: order.shipment in {None, CANCELLED},
        # A late order may have been shipped before it was called back.
        "notified their customers wrongly": lambda order: (
            OrderCancelled.__name__ in order.notifications
            and (order.shipment == CANCELLED or OrderShipped.__name__ not in order.notifications)
        ),
    },
    "failed": {
        "are not on hold": lambda order: order.state == OrderState.ON_HOLD,
        "notified their customers wrongly": lambda order: OrderHeld.__name__ in order.notifications,
    },
}


def discrepancies(folder: Path, accepted: Iterable[str]) -> list[str]:
    """List contradictions between the databases; empty if every order was done exactly once."""
    databases = read_databases(folder)
    orders = databases.orders.values()
    problems = [
        _listed("were accepted and are gone", set(accepted) - databases.orders.keys()),
        *(
            _listed(f"are only in {table}", order_ids)
            for table, order_ids in databases.unknown_orders.items()
        ),
        *(_violations(problem, rule, orders) for problem, rule in _OF_ALL.items()),
        *(
            _violations(
                f"are {end} and {problem}", rule, [one for one in orders if one.outcome == end]
            )
            for end, rules in _OF_ENDED.items()
            for problem, rule in rules.items()
        ),
        *_unbalanced(databases),
        *stock_log_problems(folder),
        *(
            f"{service} still has {number} messages in its outbox"
            for service, number in databases.outboxes.items()
        ),
        *(line for service in SAGAS for line in _miscounted(folder, service, len(orders))),
    ]
    return [problem for problem in problems if problem]


def _unbalanced(databases: Databases) -> Iterable[str]:
    """Compare missing stock and charged money with the orders that account for them."""
    orders = databases.orders.values()
    gone = sum(PRICES[sku] * (FIRST_STOCK - left) for sku, left in databases.available.items())
    held = sum(order.total_cents for order in orders if order.reservation == RESERVED)
    yield _unequal("the missing stock is worth", gone, held)
    # An order on hold may still be paid: people decide what happens to it.
    paid = [
        order
        for order in orders
        if order.state == OrderState.SHIPPED
        or (order.state == OrderState.ON_HOLD and order.payment == CHARGED)
    ]
    yield _unequal(
        "cards were charged, less what they got back,",
        sum(order.kept_cents for order in orders),
        sum(order.total_cents for order in paid),
    )


def _miscounted(folder: Path, service: str, placed: int) -> Iterable[str]:
    """Compare the totals of a saga store with its rows and with the orders."""
    rows, totals = counts_from_rows(folder, service), counts_from_totals(folder, service)
    if rows.started != placed:
        yield f"{service} has {rows.started} {rows.saga} sagas for {placed} orders"
    if rows != totals:
        yield f"{service} has the totals {totals}, but its rows say {rows}"


def _violations(problem: str, rule: Rule, orders: Iterable[OrderRecord]) -> str:
    return _listed(problem, {order.order_id for order in orders if not rule(order)})


def _listed(problem: str, order_ids: set[str]) -> str:
    if not order_ids:
        return ""
    return f"{len(order_ids)} orders {problem}: {', '.join(sorted(order_ids)[:3])}"


def _unequal(problem: str, cents: int, expected: int) -> str:
    return "" if cents == expected else f"{problem} {cents} cents instead of {expected}"
