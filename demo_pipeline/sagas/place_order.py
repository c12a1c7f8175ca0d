"""The place-order saga as data: its steps in order, and what undoes each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.domain.commands import (
    CancelOrder,
    CancelShipment,
    ChargeCard,
    RefundCard,
    ReleaseInventory,
    ReserveInventory,
    ShipOrder,
)
from demo_pipeline.domain.events import (
    CardRefunded,
    OrderCancelled,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    ShipmentCancelled,
    ShippingRefused,
    StockRejected,
    StockReleased,
    StockReserved,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demo_pipeline.domain.events import Event

NAME: Final = "place-order"

Forward = ReserveInventory | ChargeCard | ShipOrder
Backward = ReleaseInventory | RefundCard | CancelShipment


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the saga.

    Attributes:
        name: What it is called on spans, on metrics and by people.
        command: What asks for it.
        done: The event that says that it is done.
        refused: The event that says that it will not be done.
        undone_by: The compensation that undoes it; it does no harm where nothing was done.
        pivot: Whether, once it is done, going on is better than turning back only because the
            saga is late.
    """

    name: str
    command: type[Forward]
    done: type[Event]
    refused: type[Event]
    undone_by: str
    pivot: bool = False


@dataclass(frozen=True, slots=True)
class Compensation:
    """What undoes a step.

    Attributes:
        command: What asks for it.
        done: The event that says that the step is undone.
    """

    command: type[Backward | CancelOrder]
    done: type[Event]


STEPS: Final = (
    Step("reserve-inventory", ReserveInventory, StockReserved, StockRejected, "release-inventory"),
    Step("charge-card", ChargeCard, PaymentCharged, PaymentDeclined, "refund-card", pivot=True),
    Step("ship-order", ShipOrder, OrderShipped, ShippingRefused, "cancel-shipment"),
)

CANCEL_ORDER: Final = "cancel-order"
"""What undoes the first thing of all, that the order was taken."""

COMPENSATIONS: Final[Mapping[str, Compensation]] = {
    "cancel-shipment": Compensation(CancelShipment, ShipmentCancelled),
    "refund-card": Compensation(RefundCard, CardRefunded),
    "release-inventory": Compensation(ReleaseInventory, StockReleased),
    CANCEL_ORDER: Compensation(CancelOrder, OrderCancelled),
}
