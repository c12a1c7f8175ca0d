"""Doing what a message asks, and telling the others what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from demo_pipeline.codec import encode, headers_of
from demo_pipeline.events import Event
from demo_pipeline.topics import TOPIC_OF, key_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    import tracing
    from demo_pipeline.commands import Command
    from demo_pipeline.service import Handler

Publish = Callable[[Event], Awaitable[None]]
"""Sends one event, and returns when the broker has it."""


def publisher(producer: tracing.TracedProducer) -> Publish:
    """Publish with a producer, to the topic and under the key that belong to the event."""

    async def publish(event: Event) -> None:
        await producer.send_and_wait(
            TOPIC_OF[type(event)], encode(event), key=key_of(event), headers=headers_of(event)
        )

    return publish


async def perform(
    handler: Handler, message: Event | Command, database: AsyncEngine, publish: Publish
) -> tuple[Event, ...]:
    """Let a handler change the database, then publish what happened."""
    async with database.begin() as connection:
        events = await handler(message, connection)
    # After the commit, so that nobody hears of what was rolled back. What is lost when the process
    # dies right here is published when the record is delivered again; an HTTP request is not.
    for event in events:
        await publish(event)
    return events
