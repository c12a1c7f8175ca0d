"""What to do: instructions to exactly one service, whoever gives them."""

from dataclasses import dataclass

from demo_pipeline.events import Order


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """To orders: take this order."""

    order: Order


@dataclass(frozen=True, slots=True)
class ReserveInventory:
    """To inventory: set all pieces of the order aside, or none."""

    order: Order


@dataclass(frozen=True, slots=True)
class ChargeCard:
    """To payment: charge the order's total to its card."""

    order: Order


@dataclass(frozen=True, slots=True)
class ShipOrder:
    """To shipping: send the order off."""

    order: Order


Command = PlaceOrder | ReserveInventory | ChargeCard | ShipOrder
