"""What a service is: its name, its tables and its handlers, as plain data."""

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
    from sqlalchemy import Connection, MetaData

    from demo_pipeline.domain.messages import Handler
    from demo_pipeline.runtime.service_context import ServiceContext

RecordHandler = Callable[["ConsumerRecord[Any, Any]"], Awaitable[None]]
"""The function that `tracing.consume` calls with every record."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a running service does.

    Attributes:
        handle: Handles a record.
        beside: Tasks that run beside it until they are cancelled.
    """

    handle: RecordHandler
    beside: tuple[asyncio.Task[None], ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the shop.

    Attributes:
        name: Its `service.name` and its consumer group.
        tables: The tables of its database.
        handlers: Its handlers, by the type of command or event.
        fill: Inserts the initial rows.
        fill_late: Does so instead where the consumer group may have passed records that this
            database, if it is new, has never seen.
        at_work: Runs the service, if it does more than call a handler for each message.
        other_topics: Topics that it reads without having handlers for their messages.
        attempts: How often it tries a record before it becomes a dead letter.
        asks_orders: Whether it calls the orders API.
        commits_per_s: How many transactions a second it makes when it is busy, on SQLite.
    """

    name: str
    tables: MetaData
    handlers: Mapping[type, Handler] = field(default_factory=dict)
    fill: Callable[[Connection], None] | None = None
    fill_late: Callable[[Connection], None] | None = None
    at_work: Callable[[ServiceContext], AbstractAsyncContextManager[Work]] | None = None
    other_topics: tuple[str, ...] = ()
    attempts: int = 3
    asks_orders: bool = False
    commits_per_s: float = 12.0

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that it reads."""
        handled = {TOPIC_OF[message] for message in self.handlers if message in TOPIC_OF}
        return tuple(sorted(handled.union(self.other_topics)))
