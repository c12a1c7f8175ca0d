"""What the databases of a shop say together: is every order done, and nothing done twice?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_pipeline.domain.catalogue import PRICES
from demo_pipeline.domain.events import OrderCancelled, OrderHeld, OrderShipped
from demo_pipeline.domain.order_states import END_STATES, OrderState
from demo_pipeline.services.inventory import FIRST_STOCK, REJECTED, RELEASED, RESERVED
from demo_pipeline.services.payment import CHARGED
from demo_pipeline.services.shipping import CANCELLED, SHIPPED
from tests.chaos.books import SAGAS, read_books
from tests.chaos.figures import counted, totalled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.chaos.books import Account, Books

    Rule = Callable[[Account], bool]

_OF_ALL: dict[str, Rule] = {
    "have not come to their end": lambda order: order.state in END_STATES,
    "have a saga that has not ended": lambda order: order.outcome is not None,
    "have a saga that is said to have ended otherwise": lambda order: order.phase == order.outcome,
    "ended otherwise for analytics": lambda order: order.view == order.state,
    "have an observed flow that has not ended": lambda order: order.notified == "completed",
}

# By how the saga ended: whatever else is said of the order follows from that.
_OF_ENDED: dict[str, dict[str, Rule]] = {
    "completed": {
        "are not shipped": lambda order: order.state == OrderState.SHIPPED,
        "have no stock": lambda order: order.reservation == RESERVED,
        "were not charged what they cost": lambda order: (
            order.payment == CHARGED and order.kept_cents == order.total_cents
        ),
        "got money back": lambda order: not order.refunded_cents,
        "have no shipment": lambda order: order.shipment == SHIPPED,
        "told their customers otherwise": lambda order: order.told == {OrderShipped.__name__},
    },
    "compensated": {
        "are not cancelled": lambda order: order.state == OrderState.CANCELLED,
        "have stock": lambda order: order.reservation in {RELEASED, REJECTED},
        "are paid": lambda order: order.payment != CHARGED and not order.kept_cents,
        "have a shipment": lambda order: order.shipment in {None, CANCELLED},
        # Those that were late may have been shipped before they were called back.
        "told their customers otherwise": lambda order: (
            OrderCancelled.__name__ in order.told
            and (order.shipment == CANCELLED or OrderShipped.__name__ not in order.told)
        ),
    },
    "failed": {
        "are not on hold": lambda order: order.state == OrderState.ON_HOLD,
        "told their customers otherwise": lambda order: OrderHeld.__name__ in order.told,
    },
}


def discrepancies(folder: Path, accepted: Iterable[str]) -> list[str]:
    """Say what does not add up, one line each; nothing when every order is done exactly once."""
    books = read_books(folder)
    orders = books.accounts.values()
    found = [
        _listed("were accepted and are gone", set(accepted) - books.accounts.keys()),
        *(_listed(f"are only in {where}", strays) for where, strays in books.strays.items()),
        *(_broken(what, rule, orders) for what, rule in _OF_ALL.items()),
        *(
            _broken(f"are {end} and {what}", rule, [one for one in orders if one.outcome == end])
            for end, rules in _OF_ENDED.items()
            for what, rule in rules.items()
        ),
        *_unbalanced(books),
        *(
            f"{service} still has {number} messages in its outbox"
            for service, number in books.outboxes.items()
        ),
        *(line for service in SAGAS for line in _miscounted(folder, service, len(orders))),
    ]
    return [line for line in found if line]


def _unbalanced(books: Books) -> Iterable[str]:
    """What is gone from the stock and came from the cards, against what orders hold and cost."""
    orders = books.accounts.values()
    gone = sum(PRICES[sku] * (FIRST_STOCK - left) for sku, left in books.available.items())
    held = sum(order.total_cents for order in orders if order.reservation == RESERVED)
    yield _unequal("the stock that is gone is worth", gone, held)
    # An order that nobody could undo may still be paid; which ones are, is for people to settle.
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
    """What the totals of a saga store say, against its rows and the orders."""
    rows, totals = counted(folder, service), totalled(folder, service)
    if rows.started != placed:
        yield f"{service} has {rows.started} {rows.saga} sagas for {placed} orders"
    if rows != totals:
        yield f"{service} has the totals {totals}, but its rows say {rows}"


def _broken(what: str, rule: Rule, orders: Iterable[Account]) -> str:
    return _listed(what, {order.order_id for order in orders if not rule(order)})


def _listed(what: str, order_ids: set[str]) -> str:
    if not order_ids:
        return ""
    return f"{len(order_ids)} orders {what}: {', '.join(sorted(order_ids)[:3])}"


def _unequal(what: str, found: int, expected: int) -> str:
    return "" if found == expected else f"{what} {found} cents instead of {expected}"
