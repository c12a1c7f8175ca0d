"""The network between the services, and their inboxes: what may happen to a message on its way."""

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

Lane = tuple[str, str]
"""The receiver and the order of commands: they have one topic and key, so they keep their order."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way to one receiver. Its id is the one that inboxes know it by."""

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
    """Messages under way, lost or delivered, and what each receiver's inbox has seen.

    Attributes:
        events: Those under way, which may be delivered in any order.
        lost: Commands that became dead letters, which a human may replay at any time.
        delivered: All that was ever delivered, which may be delivered again.
    """

    def __init__(self) -> None:
        self.events: list[Letter] = []
        self.lost: list[Letter] = []
        self.delivered: list[Letter] = []
        self._commands: dict[Lane, deque[Letter]] = {}
        self._accepted: set[tuple[str, bytes]] = set()

    @property
    def lanes(self) -> list[Lane]:
        """The lanes in which commands are under way."""
        return [lane for lane, letters in self._commands.items() if letters]

    def send(self, message: Message) -> None:
        """Send a message to all that read it."""
        message_id = dict(headers_of(message))["ce_id"] or b""
        for receiver in _receivers(message):
            letter = Letter(receiver, message, message_id)
            if isinstance(message, Command):
                self._commands.setdefault((receiver, letter.order_id), deque()).append(letter)
            else:
                self.events.append(letter)

    def next_command(self, lane: Lane) -> Letter:
        """Take the first command out of a lane: nobody sees a later one before it."""
        return self._commands[lane].popleft()

    def accept(self, letter: Letter) -> bool:
        """Whether the receiver's inbox has not seen the message before."""
        self.delivered.append(letter)
        identity = letter.receiver, letter.message_id
        if identity in self._accepted:
            return False
        self._accepted.add(identity)
        return True


def _receivers(message: Message) -> list[str]:
    """The participants that handle it, and for events the orchestrator."""
    receivers = [name for name in TABLE_OF if type(message) in SERVICES[name].handlers]
    return receivers if isinstance(message, Command) else [*receivers, ORCHESTRATOR]
