"""The place-order saga as data: its steps in order, and their compensations."""

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
        name: Its name on spans and metrics, and for people.
        command: The command that asks for it.
        done: The event that reports success.
        refused: The event that reports a rejection.
        compensation: The compensation that undoes it; harmless if the step was not done.
        pivot: Whether a saga that has done it goes on even when it is overdue.
    """

    name: str
    command: type[Forward]
    done: type[Event]
    refused: type[Event]
    compensation: str
    pivot: bool = False


@dataclass(frozen=True, slots=True)
class Compensation:
    """The compensation of a step.

    Attributes:
        command: The command that asks for it.
        done: The event that reports success.
    """

    command: type[Backward | CancelOrder]
    done: type[Event]


STEPS: Final = (
    Step("reserve-inventory", ReserveInventory, StockReserved, StockRejected, "release-inventory"),
    Step("charge-card", ChargeCard, PaymentCharged, PaymentDeclined, "refund-card", pivot=True),
    Step("ship-order", ShipOrder, OrderShipped, ShippingRefused, "cancel-shipment"),
)

CANCEL_ORDER: Final = "cancel-order"
"""The last compensation: it cancels the order itself."""

COMPENSATIONS: Final[Mapping[str, Compensation]] = {
    "cancel-shipment": Compensation(CancelShipment, ShipmentCancelled),
    "refund-card": Compensation(RefundCard, CardRefunded),
    "release-inventory": Compensation(ReleaseInventory, StockReleased),
    CANCEL_ORDER: Compensation(CancelOrder, OrderCancelled),
}
