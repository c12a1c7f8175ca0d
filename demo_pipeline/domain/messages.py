"""Messages that travel between the services, and what handles one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo_pipeline.domain.commands import Command
from demo_pipeline.domain.events import Event
from demo_pipeline.domain.notices import OrderPlacedNotice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

Message = Event | Command | OrderPlacedNotice

Handler = Callable[[Any, "Connection"], tuple[Message, ...]]
"""Handles one command or event inside a transaction and returns the messages to send.

It need not expect the same message twice: the inbox skips duplicates. It runs in a worker thread,
one at a time for each database, and must have no effect outside the transaction.
"""


@dataclass(frozen=True, slots=True)
class Together:
    """A handler that handles several messages with as many statements as one.

    Attributes:
        all: Handles messages, and returns for each the messages to send. They are in no order.
    """

    all: Callable[[Sequence[Any], Connection], list[tuple[Message, ...]]]

    def __call__(self, message: Any, connection: Connection) -> tuple[Message, ...]:
        """Handle one message."""
        (messages,) = self.all([message], connection)
        return messages
