"""The topics: which events each carries, how it is split and by which key."""

from collections.abc import Mapping
from typing import Final

from demo_pipeline.events import (
    Event,
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    StockRejected,
    StockReserved,
)

# Keyed by user: one customer's orders are charged in the order in which they were placed.
ORDERS: Final = "orders.events"
# Keyed by user, not by product: payment must see one customer's orders in sequence, and an order
# has several products.
INVENTORY: Final = "inventory.events"
# Keyed by user, so that shipping can put one customer's parcels together.
PAYMENT: Final = "payment.events"
# Keyed by user, so that a customer's history is in one partition for every read model.
SHIPPING: Final = "shipping.events"

# The same number everywhere keeps a user in the same partition number of every topic. Four are
# enough for two or more instances of a service to share, and few enough to look at one by one.
PARTITIONS: Final[Mapping[str, int]] = {ORDERS: 4, INVENTORY: 4, PAYMENT: 4, SHIPPING: 4}

TOPIC_OF: Final[Mapping[type[Event], str]] = {
    OrderPlaced: ORDERS,
    StockReserved: INVENTORY,
    StockRejected: INVENTORY,
    PaymentCharged: PAYMENT,
    PaymentDeclined: PAYMENT,
    OrderShipped: SHIPPING,
}


def key_of(event: Event) -> bytes:
    """The record key of an event: its user."""
    return event.order.user_id.encode()
