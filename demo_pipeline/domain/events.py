"""What happened: the facts that services tell each other.

Every event carries the whole order, so that no reader ever has to ask another service.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Some pieces of one product; the price, in cents, is of a single piece."""

    sku: str
    quantity: int
    unit_price_cents: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the customer placed it; it never changes afterwards."""

    order_id: str
    user_id: str
    lines: tuple[OrderLine, ...]
    total_cents: int
    card_token: str
    ship_to: str


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    """The shop took the order."""

    order: Order


@dataclass(frozen=True, slots=True)
class StockReserved:
    """All pieces of the order are set aside."""

    order: Order
    reservation_id: str


@dataclass(frozen=True, slots=True)
class StockRejected:
    """Nothing is set aside, because something is sold out."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class PaymentCharged:
    """The order is paid."""

    order: Order
    payment_id: str


@dataclass(frozen=True, slots=True)
class PaymentDeclined:
    """The card does not pay for the order."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class OrderShipped:
    """The order is on its way."""

    order: Order
    shipment_id: str


@dataclass(frozen=True, slots=True)
class ShippingRefused:
    """The order is not sent off."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class StockReleased:
    """Nothing is set aside for the order, and nothing will be."""

    order: Order


@dataclass(frozen=True, slots=True)
class CardRefunded:
    """Nothing is charged for the order, and nothing will be."""

    order: Order


@dataclass(frozen=True, slots=True)
class ShipmentCancelled:
    """The order is not on its way, and will not be."""

    order: Order


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """The order came to nothing, and all that had been done for it is undone."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class OrderHeld:
    """The order can neither go on nor be undone; somebody has to look at it."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class CustomerNotified:
    """The customer was told what became of the order: `about` is the event's name."""

    order: Order
    about: str


Event = (
    OrderPlaced
    | StockReserved
    | StockRejected
    | PaymentCharged
    | PaymentDeclined
    | OrderShipped
    | ShippingRefused
    | StockReleased
    | CardRefunded
    | ShipmentCancelled
    | OrderCancelled
    | OrderHeld
    | CustomerNotified
)

Rejection = StockRejected | PaymentDeclined | ShippingRefused
"""The events by which the business says no."""
