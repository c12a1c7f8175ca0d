"""The stock of one product: its events, and the fold that turns them into a state.

The events are the truth, and every state can be computed from them again. Nothing here knows a
database, so that the same fold serves the service, `stock show` and `stock verify`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLD_VERSION: Final = 1
"""The version of `fold` and `StockState`: raise it with every change to one of them.

Snapshots of another version are ignored, and made again from the events.
"""


class StockChange(StrEnum):
    """What happened to the stock of a product. Events exist for ever: remove or rename none."""

    RECEIVED = "received"
    OPENED = "opened"
    """The pieces that were there when the log began, in a database that is older than its log."""
    RESERVED = "reserved"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class StockEvent:
    """One event of a product.

    Attributes:
        sequence: Its place in the product's stream, from 1 on, without gaps.
        change: What happened: a `StockChange`, or a name that only a later version knows.
        quantity: The number of pieces.
        at_ns: When it was recorded, unix ns; never before the event in front of it.
        order_id: The order that caused it, if one did.
    """

    sequence: int
    change: str
    quantity: int
    at_ns: int
    order_id: str | None = None


@dataclass(frozen=True, slots=True)
class StockState:
    """The stock of a product after some of its events.

    Attributes:
        sequence: The last of these events; 0 if there is none.
        received: All pieces that ever arrived.
        reserved: All pieces that were ever reserved.
        released: All pieces that were ever released again.
        at_ns: When the last of these events was recorded, unix ns.
    """

    sequence: int = 0
    received: int = 0
    reserved: int = 0
    released: int = 0
    at_ns: int = 0

    @property
    def available(self) -> int:
        """The pieces that can be reserved."""
        return self.received - self.reserved + self.released


class BrokenStreamError(Exception):
    """The events of a product cannot be folded; the message says which one and why."""


EMPTY: Final = StockState()


def fold(events: Iterable[StockEvent], state: StockState = EMPTY) -> StockState:
    """Apply events to a state, by default from the beginning of the stream.

    Raises:
        BrokenStreamError: An event is missing, repeated or of an unknown kind.
    """
    sequence, at_ns = state.sequence, state.at_ns
    received, reserved, released = state.received, state.reserved, state.released
    for event in events:
        if event.sequence != sequence + 1:
            raise BrokenStreamError(f"event {event.sequence} follows event {sequence}")
        sequence, at_ns = event.sequence, event.at_ns
        match event.change:
            case StockChange.RECEIVED | StockChange.OPENED:
                received += event.quantity
            case StockChange.RESERVED:
                reserved += event.quantity
            case StockChange.RELEASED:
                released += event.quantity
            case unknown:
                raise BrokenStreamError(
                    f"event {sequence} is {unknown!r}, which this version of the program does not "
                    "know: use the version that wrote it, or a later one"
                )
    return StockState(sequence, received, reserved, released, at_ns)


@dataclass(slots=True)
class ProductStock:
    """The aggregate: a product's state, and the new events that are not stored yet.

    Attributes:
        sku: The product.
        state: Its state, new events included.
        snapshot: The sequence of the snapshot that it was loaded from; 0 without one.
        new: The events to store.
    """

    sku: str
    state: StockState = EMPTY
    snapshot: int = 0
    new: list[StockEvent] = field(default_factory=list)

    def record(
        self, change: StockChange, quantity: int, now_ns: int, order_id: str | None = None
    ) -> None:
        """Add an event. Whether it may happen is decided before."""
        # Clocks of two instances differ; the order of a stream and of its times may not.
        at_ns = max(now_ns, self.state.at_ns)
        event = StockEvent(self.state.sequence + 1, change, quantity, at_ns, order_id)
        self.state = fold((event,), self.state)
        self.new.append(event)
