"""What a service is: its name, its tables, and how it works. Data, no behaviour of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo_pipeline.domain.topics import TOPIC_OF

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from aiokafka.structs import ConsumerRecord
    from sqlalchemy import MetaData
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.messages import Handler
    from demo_pipeline.runtime.service_context import ServiceContext

RecordHandler = Callable[["ConsumerRecord[Any, Any]"], Awaitable[None]]
"""What `tracing.consume` calls with every record."""


@dataclass(frozen=True, slots=True)
class Work:
    """A service's way to work, under way.

    Attributes:
        handle: Handles a record.
        beside: What goes on beside that, and never ends by itself.
    """

    handle: RecordHandler
    beside: tuple[asyncio.Task[None], ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the shop.

    Attributes:
        name: Its `service.name` and its consumer group.
        tables: What its database holds.
        handlers: What it does, by the type of command or event.
        fill: Puts the first contents into empty tables.
        at_work: How it works, where that is more than calling a handler for each message.
        other_topics: What it reads beside the messages that it has handlers for.
    """

    name: str
    tables: MetaData
    handlers: Mapping[type, Handler] = field(default_factory=dict)
    fill: Callable[[AsyncConnection], Awaitable[None]] | None = None
    at_work: Callable[[ServiceContext], AbstractAsyncContextManager[Work]] | None = None
    other_topics: tuple[str, ...] = ()

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics it has to read."""
        handled = {TOPIC_OF[message] for message in self.handlers if message in TOPIC_OF}
        return tuple(sorted(handled.union(self.other_topics)))
