"""Notices: events without state, whose readers have to call back for it.

The shop's other events carry the whole order. A notice is as small as an event can be, and its
reader depends on the service that it asks: the scenario `notification` shows both side by side.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OrderLink:
    """An order by its id, and where to ask about it.

    Attributes:
        order_id: Its id.
        api: The path below which the service that published it shows its orders. It names no host,
            so that a forged notice cannot send its reader anywhere else.
    """

    order_id: str
    api: str


@dataclass(frozen=True, slots=True)
class OrderPlacedNotice:
    """The shop accepted an order; what was ordered has to be asked for."""

    order: OrderLink
