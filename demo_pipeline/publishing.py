"""Doing what a message asks, and telling the others what came of it, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo_pipeline.codec import encode, headers_of
from demo_pipeline.faults import no_faults
from demo_pipeline.topics import TOPIC_OF, key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka.structs import ConsumerRecord
    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.commands import Command
    from demo_pipeline.events import Event
    from demo_pipeline.faults import Faults
    from demo_pipeline.service import Handler
    from tracing.sql import SqlInbox, SqlOutbox


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a service does its work.

    Attributes:
        database: Its own database.
        inbox: Knows which events were worked on before.
        outbox: Takes the events that are to be published.
        committed: Called when there may be something in the outbox.
        faults: What goes wrong on purpose.
    """

    database: AsyncEngine
    inbox: SqlInbox
    outbox: SqlOutbox
    committed: Callable[[], None]
    faults: Faults = field(default_factory=no_faults)


async def perform(
    handler: Handler,
    message: Event | Command,
    workplace: Workplace,
    record: ConsumerRecord[Any, Any] | None = None,
) -> tuple[Event, ...] | None:
    """Let a handler change the database, and publish what happened if that commits.

    Args:
        handler: What to do.
        message: What it is to be done with.
        workplace: Where.
        record: What the message came with; `None` for a message that came otherwise.

    Returns:
        What happened; `None` where the record's event was worked on before.
    """
    async with workplace.database.begin() as connection:
        if record is not None and not await workplace.inbox.accept(connection, record):
            return None
        events = await handler(message, connection)
        for event in events:
            await workplace.outbox.add(
                connection,
                TOPIC_OF[type(event)],
                workplace.faults.written(event, encode(event)),
                key=key_of(event),
                headers=headers_of(event),
            )
    workplace.committed()
    return events
