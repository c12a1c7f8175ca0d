"""What a service is: its name, its tables, and its handlers. Data, no behaviour of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo_pipeline.choreography import CAUSE_OF, reaction_to
from demo_pipeline.events import Event
from demo_pipeline.topics import TOPIC_OF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import MetaData
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.commands import Command

Handler = Callable[[Any, "AsyncConnection"], Awaitable[tuple[Event, ...]]]
"""Handles one command or event inside a transaction and returns what happened.

It need not expect the same message twice: the inbox keeps duplicates away.
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the shop.

    Attributes:
        name: Its `service.name` and its consumer group.
        tables: What its database holds.
        handlers: What it does, by the type of command or event.
        fill: Puts the first contents into empty tables.
    """

    name: str
    tables: MetaData
    handlers: Mapping[type, Handler]
    fill: Callable[[AsyncConnection], Awaitable[None]] | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics it has to read."""
        causes = (CAUSE_OF.get(message, message) for message in self.handlers)
        return tuple(sorted({TOPIC_OF[cause] for cause in causes if cause in TOPIC_OF}))

    def message_for(self, event: Event) -> Event | Command | None:
        """What an event means to the service: itself, a command, or nothing."""
        if type(event) in self.handlers:
            return event
        command = reaction_to(event)
        return command if type(command) in self.handlers else None
