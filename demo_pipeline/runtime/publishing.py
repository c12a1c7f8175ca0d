"""Doing what a message asks, and telling the others what came of it, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo_pipeline.domain.codec import encode, headers_of
from demo_pipeline.domain.topics import TOPIC_OF, key_of
from demo_pipeline.runtime.database import is_away, outlast

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.commands import PlaceOrder
    from demo_pipeline.domain.messages import Handler, Message
    from demo_pipeline.runtime.service_context import ServiceContext


async def perform(
    handler: Handler,
    message: Message | PlaceOrder,
    context: ServiceContext,
    record: ConsumerRecord[Any, Any] | None = None,
) -> tuple[Message, ...] | None:
    """Let a handler change the database, and send what came of it if that commits.

    While the database is away, a record waits for it: nobody should have to replay what failed
    for that.

    Args:
        handler: What to do; called again where its transaction was lost.
        message: What it is to be done with.
        context: Where.
        record: What the message came with; `None` for a message that came otherwise.

    Returns:
        What came of it; `None` where the record's message was worked on before.
    """
    failures = 0
    while True:
        connected = False
        try:
            async with context.database.begin() as connection:
                connected = True
                if record is not None and not await context.inbox.accept(connection, record):
                    return None
                messages = await handler(message, connection)
                await put(messages, context, connection)
        except Exception as error:
            # Who waits for an answer is told; a record can wait, and is no worse for that.
            if record is None or not is_away(error, connected=connected):
                raise
            failures += 1
            await outlast(failures, error)
        else:
            context.committed()
            return messages


async def put(
    messages: tuple[Message, ...], context: ServiceContext, connection: AsyncConnection
) -> None:
    """Put messages into the outbox, in the connection's transaction."""
    for message in messages:
        await context.outbox.add(
            connection,
            TOPIC_OF[type(message)],
            context.faults.written(message, encode(message)),
            key=key_of(message),
            headers=headers_of(message),
        )
