"""Who does what when something happened, while no orchestrator gives the commands.

Services know commands alone. This table is the only place that turns another service's event into
one of them; whoever sends commands instead replaces it, and no service changes.
"""

from collections.abc import Callable, Mapping
from typing import Final

from demo_pipeline.commands import ChargeCard, Command, ReserveInventory, ShipOrder
from demo_pipeline.events import Event, Order, OrderPlaced, PaymentCharged, StockReserved

_REACTIONS: Final[Mapping[type[Event], Callable[[Order], Command]]] = {
    OrderPlaced: ReserveInventory,
    StockReserved: ChargeCard,
    PaymentCharged: ShipOrder,
}

CAUSE_OF: Final[Mapping[type, type[Event]]] = {
    ReserveInventory: OrderPlaced,
    ChargeCard: StockReserved,
    ShipOrder: PaymentCharged,
}
"""The event that leads to a command, by the command's type."""


def reaction_to(event: Event) -> Command | None:
    """The command that an event leads to; `None` for an event at which nobody has to act."""
    command = _REACTIONS.get(type(event))
    return None if command is None else command(event.order)
