"""Events: facts that services publish.

Every event carries the whole order, so that no reader has to ask another service.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A quantity of one product, with its unit price in cents."""

    sku: str
    quantity: int
    unit_price_cents: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the customer placed it; it never changes."""

    order_id: str
    user_id: str
    lines: tuple[OrderLine, ...]
    total_cents: int
    card_token: str
    ship_to: str


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    """The shop accepted the order.

    Attributes:
        order: The order.
        channel: How it came in. Since version 2 of the schema.
        promised_on: The day on which the parcel should arrive. Since version 3.
    """

    order: Order
    channel: str = "web"
    promised_on: date | None = None


@dataclass(frozen=True, slots=True)
class StockReserved:
    """All items of the order are reserved."""

    order: Order
    reservation_id: str


@dataclass(frozen=True, slots=True)
class StockRejected:
    """Nothing is reserved, because something is sold out."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class PaymentCharged:
    """The order is paid."""

    order: Order
    payment_id: str


@dataclass(frozen=True, slots=True)
class PaymentDeclined:
    """The card was declined."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class OrderShipped:
    """The order was shipped."""

    order: Order
    shipment_id: str


@dataclass(frozen=True, slots=True)
class ShippingRefused:
    """Shipping refuses the order."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class StockReleased:
    """Nothing is reserved for the order, and nothing will be."""

    order: Order


@dataclass(frozen=True, slots=True)
class CardRefunded:
    """Nothing is charged for the order, and nothing will be."""

    order: Order


@dataclass(frozen=True, slots=True)
class ShipmentCancelled:
    """The order is not shipped, and will not be."""

    order: Order


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """The order is cancelled, and every step is compensated."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class OrderHeld:
    """The order is on hold: only a human can complete or cancel it."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class CustomerNotified:
    """The customer was notified of the order's outcome: `about` is the event's name."""

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
"""The events that reject an order for a business reason."""
