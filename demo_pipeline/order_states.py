"""How far an order has come, read off the events, whichever of them arrives first."""

from collections.abc import Mapping
from enum import StrEnum
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


class OrderState(StrEnum):
    """Where an order stands."""

    PLACED = "placed"
    RESERVED = "reserved"
    PAID = "paid"
    SHIPPED = "shipped"
    SOLD_OUT = "sold-out"
    DECLINED = "declined"


END_STATES: Final = frozenset({OrderState.SHIPPED, OrderState.SOLD_OUT, OrderState.DECLINED})
PAID_STATES: Final = frozenset({OrderState.PAID, OrderState.SHIPPED})

STATE_AFTER: Final[Mapping[type[Event], OrderState]] = {
    OrderPlaced: OrderState.PLACED,
    StockReserved: OrderState.RESERVED,
    StockRejected: OrderState.SOLD_OUT,
    PaymentCharged: OrderState.PAID,
    PaymentDeclined: OrderState.DECLINED,
    OrderShipped: OrderState.SHIPPED,
}

# Topics overtake each other. An order only ever moves to a later stage, so a late event of an
# earlier one changes nothing.
STAGE: Final[Mapping[OrderState, int]] = {
    OrderState.PLACED: 0,
    OrderState.RESERVED: 1,
    OrderState.PAID: 2,
    OrderState.SHIPPED: 3,
    OrderState.SOLD_OUT: 3,
    OrderState.DECLINED: 3,
}
