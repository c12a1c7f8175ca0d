"""What to do: instructions to exactly one service, whoever gives them.

A command that got no answer is given again, as the next attempt: a message of its own, which its
receiver answers without doing the work a second time.
"""

from dataclasses import dataclass

from demo_pipeline.domain.events import Order


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """To orders: take this order."""

    order: Order


@dataclass(frozen=True, slots=True)
class ReserveInventory:
    """To inventory: set all pieces of the order aside, or none."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ReleaseInventory:
    """To inventory: take back what was set aside for the order, and set nothing aside any more."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ChargeCard:
    """To payment: charge the order's total to its card."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class RefundCard:
    """To payment: give back what was charged for the order, and charge nothing any more."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ShipOrder:
    """To shipping: send the order off."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class CancelShipment:
    """To shipping: do not send the order off any more, or call its parcel back."""

    order: Order
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """To orders: the order comes to nothing, and the customer may know why."""

    order: Order
    reason: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """To orders: the order can neither go on nor be undone without a human."""

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
"""The commands that travel between services."""
