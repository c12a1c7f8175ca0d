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


Event = (
    OrderPlaced | StockReserved | StockRejected | PaymentCharged | PaymentDeclined | OrderShipped
)

Rejection = StockRejected | PaymentDeclined
"""The events by which the business says no."""
