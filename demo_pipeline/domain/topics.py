"""The topics: their messages, partitions and record keys.

Events are broadcast: any service may read them, each as a consumer group of its own. Commands go
to one service, which is the only reader of its topic.
"""

from collections.abc import Mapping
from typing import Final, Literal

from demo_pipeline.domain.commands import (
    CancelOrder,
    CancelShipment,
    ChargeCard,
    HoldOrder,
    RefundCard,
    ReleaseInventory,
    ReserveInventory,
    ShipOrder,
)
from demo_pipeline.domain.events import (
    CardRefunded,
    CustomerNotified,
    OrderCancelled,
    OrderHeld,
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    ShipmentCancelled,
    ShippingRefused,
    StockRejected,
    StockReleased,
    StockReserved,
)
from demo_pipeline.domain.messages import Message
from demo_pipeline.domain.notices import OrderPlacedNotice

PIPELINE: Final = "orders"
"""The name of the pipeline, of which these topics are the parts."""

# Keyed by user: a customer's orders are charged in the order in which they were placed.
ORDERS: Final = "orders.events"
# Keyed by user, not by product: a customer's history is in one partition for every read model,
# and an order has several products.
INVENTORY: Final = "inventory.events"
# Keyed by user, for the same reason.
PAYMENT: Final = "payment.events"
# Keyed by user, for the same reason.
SHIPPING: Final = "shipping.events"
# Keyed by user: a customer must hear of a shipment before its cancellation.
NOTIFICATION: Final = "notification.events"
# Keyed by order, which is all that a notice names. Apart from `orders.events`, so that the readers
# of one do not get the other.
NOTICES: Final = "orders.notices"
# All keyed by user: a compensation must never overtake the command that it compensates.
ORDERS_COMMANDS: Final = "orders.commands"
INVENTORY_COMMANDS: Final = "inventory.commands"
PAYMENT_COMMANDS: Final = "payment.commands"
SHIPPING_COMMANDS: Final = "shipping.commands"

EVENT_TOPICS: Final = (ORDERS, INVENTORY, PAYMENT, SHIPPING, NOTIFICATION)
_COMMAND_TOPICS: Final = (
    ORDERS_COMMANDS, INVENTORY_COMMANDS, PAYMENT_COMMANDS, SHIPPING_COMMANDS,
)  # fmt: skip

KINDS: Final[Mapping[str, Literal["event", "command"]]] = {
    r".*\.(events|notices)": "event",
    r".*\.commands": "command",
}
"""What the topics hold, by their names."""

# The same number everywhere keeps a user in the same partition number of every topic. Four are
# enough for two or more instances of a service to share, and few enough to look at one by one.
PARTITIONS: Final[Mapping[str, int]] = dict.fromkeys((*EVENT_TOPICS, NOTICES, *_COMMAND_TOPICS), 4)

TOPIC_OF: Final[Mapping[type[Message], str]] = {
    OrderPlaced: ORDERS,
    OrderCancelled: ORDERS,
    OrderHeld: ORDERS,
    StockReserved: INVENTORY,
    StockRejected: INVENTORY,
    StockReleased: INVENTORY,
    PaymentCharged: PAYMENT,
    PaymentDeclined: PAYMENT,
    CardRefunded: PAYMENT,
    OrderShipped: SHIPPING,
    ShippingRefused: SHIPPING,
    ShipmentCancelled: SHIPPING,
    CustomerNotified: NOTIFICATION,
    OrderPlacedNotice: NOTICES,
    CancelOrder: ORDERS_COMMANDS,
    HoldOrder: ORDERS_COMMANDS,
    ReserveInventory: INVENTORY_COMMANDS,
    ReleaseInventory: INVENTORY_COMMANDS,
    ChargeCard: PAYMENT_COMMANDS,
    RefundCard: PAYMENT_COMMANDS,
    ShipOrder: SHIPPING_COMMANDS,
    CancelShipment: SHIPPING_COMMANDS,
}


def key_of(message: Message) -> bytes:
    """Return the record key of a message: its user, or of a notice its order."""
    if isinstance(message, OrderPlacedNotice):
        return message.order.order_id.encode()
    return message.order.user_id.encode()
