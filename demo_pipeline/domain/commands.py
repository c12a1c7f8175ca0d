"""Commands: instructions to exactly one service.

A command without an answer is sent again, as the next attempt. That is a message of its own; its
receiver answers it without doing the work a second time.
"""

from dataclasses import dataclass

from demo_pipeline.domain.events import Order


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """To orders: accept this order."""

    order: Order


@dataclass(frozen=True, slots=True)
class ReserveInventory:
    """To inventory: reserve all items of the order, or none."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ReleaseInventory:
    """To inventory: release the order's reservation, and refuse any later one."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ChargeCard:
    """To payment: charge the order's total to its card."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class RefundCard:
    """To payment: refund the order, and refuse any later charge."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ShipOrder:
    """To shipping: ship the order."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class CancelShipment:
    """To shipping: recall the order's parcel if it has left, and never ship it again."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """To orders: cancel the order; the customer may read the reason."""

    order: Order
    reason: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """To orders: put the order on hold, because only a human can complete or cancel it."""

    order: Order
    reason: str


Command = (
    ReserveInventory
    | ReleaseInventory
    | ChargeCard
    | RefundCard
    | ShipOrder
    | CancelShipment
    | CancelOrder
    | HoldOrder
)
"""The commands that are sent over Kafka."""
