"""How far an order has come, read off the events, whichever of them arrives first."""

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
    """Where an order stands."""

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
"""States in which nobody can promise the customer how it ends."""

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
"""The state that an event leads to; what a customer was told leads to none."""

# Topics overtake each other. An order only ever moves to a later stage, so a late event of an
# earlier one changes nothing.
STAGE: Final[Mapping[OrderState, int]] = {
    OrderState.PLACED: 0,
    OrderState.RESERVED: 1,
    OrderState.PAID: 2,
    OrderState.SHIPPED: 3,
    OrderState.CANCELLING: 4,
    OrderState.ON_HOLD: 5,
    # Above the hold: whoever cancels an order after all has undone the rest.
    OrderState.CANCELLED: 6,
}
