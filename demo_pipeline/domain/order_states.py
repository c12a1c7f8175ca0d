"""The states of an order, derived from events in whatever order they arrive."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from demo_pipeline.domain.events import (
    CardRefunded,
    Event,
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


class OrderState(StrEnum):
    """The state of an order."""

    PLACED = "placed"
    RESERVED = "reserved"
    PAID = "paid"
    SHIPPED = "shipped"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    ON_HOLD = "on-hold"


END_STATES: Final = frozenset({OrderState.SHIPPED, OrderState.CANCELLED, OrderState.ON_HOLD})
PAID_STATES: Final = frozenset({OrderState.PAID, OrderState.SHIPPED})
PENDING_STATES: Final = frozenset(OrderState) - {OrderState.SHIPPED, OrderState.CANCELLED}
"""States in which the outcome of the order is still open."""

STATE_AFTER: Final[Mapping[type[Event], OrderState]] = {
    OrderPlaced: OrderState.PLACED,
    StockReserved: OrderState.RESERVED,
    PaymentCharged: OrderState.PAID,
    OrderShipped: OrderState.SHIPPED,
    StockRejected: OrderState.CANCELLING,
    PaymentDeclined: OrderState.CANCELLING,
    ShippingRefused: OrderState.CANCELLING,
    ShipmentCancelled: OrderState.CANCELLING,
    CardRefunded: OrderState.CANCELLING,
    StockReleased: OrderState.CANCELLING,
    OrderCancelled: OrderState.CANCELLED,
    OrderHeld: OrderState.ON_HOLD,
}
"""The state that each event leads to; `CustomerNotified` leads to none."""

# Events of different topics overtake each other. An order only moves to a later stage, so a late
# event of an earlier stage changes nothing.
STAGE: Final[Mapping[OrderState, int]] = {
    OrderState.PLACED: 0,
    OrderState.RESERVED: 1,
    OrderState.PAID: 2,
    OrderState.SHIPPED: 3,
    OrderState.CANCELLING: 4,
    OrderState.ON_HOLD: 5,
    # After the hold: an order that is cancelled in the end has been compensated.
    OrderState.CANCELLED: 6,
}
