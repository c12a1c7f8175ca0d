"""The network between the services, with their inboxes: it delays, loses and repeats messages."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from demo_pipeline.domain.codec import headers_of
from demo_pipeline.domain.commands import Command
from demo_pipeline.domain.messages import Message
from demo_pipeline.services import SERVICES
from tests.demo_pipeline.sagas.model_participants import TABLE_OF

ORCHESTRATOR: Final = "orchestrator"

CommandQueue = tuple[str, str]
"""The receiver and the order id: such commands share a topic and a key, and keep their sequence."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message for one receiver. Inboxes recognise it by its id."""

    receiver: str
    message: Message
    message_id: bytes = field(repr=False)

    @property
    def order_id(self) -> str:
        return self.message.order.order_id

    def __repr__(self) -> str:
        attempt = getattr(self.message, "attempt", "")
        return f"<{type(self.message).__name__}{attempt} of {self.order_id} to {self.receiver}>"


class Network:
    """Undelivered, lost and delivered messages, and the contents of each receiver's inbox.

    Attributes:
        events: Undelivered events, which may be delivered in any order.
        lost: Dead-lettered commands, which may be replayed at any time.
        delivered: All delivered messages, which may be delivered again.
    """

    def __init__(self) -> None:
        self.events: list[Delivery] = []
        self.lost: list[Delivery] = []
        self.delivered: list[Delivery] = []
        self._commands: dict[CommandQueue, deque[Delivery]] = {}
        self._accepted: set[tuple[str, bytes]] = set()

    @property
    def queues(self) -> list[CommandQueue]:
        """The queues with undelivered commands."""
        return [queue for queue, deliveries in self._commands.items() if deliveries]

    def send(self, message: Message) -> None:
        """Send a message to all its receivers."""
        message_id = dict(headers_of(message))["ce_id"] or b""
        for receiver in _receivers(message):
            delivery = Delivery(receiver, message, message_id)
            if isinstance(message, Command):
                self._commands.setdefault((receiver, delivery.order_id), deque()).append(delivery)
            else:
                self.events.append(delivery)

    def next_command(self, queue: CommandQueue) -> Delivery:
        """Remove and return the first command of a queue: commands keep their sequence."""
        return self._commands[queue].popleft()

    def accept(self, delivery: Delivery) -> bool:
        """Record a delivery; return whether the receiver's inbox accepts it as new."""
        self.delivered.append(delivery)
        identity = delivery.receiver, delivery.message_id
        if identity in self._accepted:
            return False
        self._accepted.add(identity)
        return True


def _receivers(message: Message) -> list[str]:
    """Return the participants that handle a message, and for events the orchestrator."""
    receivers = [name for name in TABLE_OF if type(message) in SERVICES[name].handlers]
    return receivers if isinstance(message, Command) else [*receivers, ORCHESTRATOR]
