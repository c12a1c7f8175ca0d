"""Made-up orders, whose events come in any order between topics, some of them twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from demo_pipeline.domain.events import (
    CardRefunded,
    Order,
    OrderCancelled,
    OrderLine,
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    StockRejected,
    StockReleased,
    StockReserved,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo_pipeline.domain.events import Event

_PRODUCTS: Final = ("kettle", "espresso-cup", "milk-jug", "coffee-beans")
_OPEN_ORDERS: Final = 60


def stories(seed: int) -> Iterator[Event]:
    """Yield the events of ever more orders, mixed."""
    chance = random.Random(seed)
    waiting: list[Event] = []
    number = 0
    while True:
        while len(waiting) < _OPEN_ORDERS:
            number += 1
            waiting += _story(number, chance)
        # Not always the oldest one: topics overtake each other.
        event = waiting.pop(chance.randrange(min(len(waiting), 20)))
        if chance.random() < 0.03:
            waiting.append(event)
        yield event


def _story(number: int, chance: random.Random) -> tuple[Event, ...]:
    lines = tuple(
        OrderLine(sku, chance.randrange(1, 4), chance.randrange(500, 5000))
        for sku in chance.sample(_PRODUCTS, chance.randrange(1, 4))
    )
    order = Order(
        order_id=f"order-{number:06}",
        user_id=f"user-{number % 50:02}",
        lines=lines,
        total_cents=sum(line.quantity * line.unit_price_cents for line in lines),
        card_token="card",  # noqa: S106 - no secret
        ship_to="8 Harbour Street",
    )
    placed, reserved = OrderPlaced(order), StockReserved(order, "reservation")
    paid = PaymentCharged(order, "payment")
    declined, cancelled = PaymentDeclined(order, "no"), OrderCancelled(order, "no")
    return chance.choice(
        (
            (placed, reserved, paid, OrderShipped(order, "shipment")),
            (placed, StockRejected(order, "sold out"), cancelled),
            (placed, reserved, declined, StockReleased(order), cancelled),
            (placed, reserved, paid, StockReleased(order), CardRefunded(order), cancelled),
            (placed, reserved),
        )
    )
