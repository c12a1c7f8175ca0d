"""All events of one order."""

from __future__ import annotations

from typing import Final

from demo_pipeline.domain.events import (
    CardRefunded,
    Event,
    Order,
    OrderCancelled,
    OrderLine,
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

ORDER: Final = Order(
    "o-1", "user-07", (OrderLine("kettle", 2, 4450),), 8900, "card-07", "8 Harbour Street"
)

PLACED: Final = OrderPlaced(ORDER)
RESERVED: Final = StockReserved(ORDER, "reservation-o-1")
SOLD_OUT: Final = StockRejected(ORDER, "sold out: kettle")
CHARGED: Final = PaymentCharged(ORDER, "payment-o-1")
DECLINED: Final = PaymentDeclined(ORDER, "card declined")
SHIPPED: Final = OrderShipped(ORDER, "shipment-o-1")
REFUSED: Final = ShippingRefused(ORDER, "no such street")
RECALLED: Final = ShipmentCancelled(ORDER)
REFUNDED: Final = CardRefunded(ORDER)
RELEASED: Final = StockReleased(ORDER)
CANCELLED: Final = OrderCancelled(ORDER, "whatever")

EVENTS: Final[tuple[Event, ...]] = (
    PLACED, RESERVED, SOLD_OUT, CHARGED, DECLINED, SHIPPED, REFUSED, RECALLED, REFUNDED,
    RELEASED, CANCELLED,
)  # fmt: skip
"""All events that can move a saga."""

AFTER: Final[list[tuple[Event, ...]]] = [(PLACED,), (PLACED, RESERVED), (PLACED, RESERVED, CHARGED)]
"""By step, the events that lead to it."""
