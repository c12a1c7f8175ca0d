"""Handling a message and publishing the resulting messages, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo_pipeline.domain.codec import headers_of
from demo_pipeline.domain.topics import TOPIC_OF, key_of
from demo_pipeline.runtime.database import DatabaseOutage, is_away

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
    """Run a handler in a transaction, and publish the messages that it returns.

    A record waits while the database is unavailable, so that an outage makes no dead letters.

    Args:
        handler: The handler; called again if its transaction was lost.
        message: The message to handle.
        context: What the service works with.
        record: The record of the message; `None` if it did not come from Kafka.

    Returns:
        The messages to publish; `None` if the record was handled before.
    """
    outage = DatabaseOutage()
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
            # A caller waits for an answer and gets the error; a record can wait.
            if record is None or not is_away(error, connected=connected):
                raise
            await outage.outlast(error)
        else:
            context.committed()
            return messages


async def put(
    messages: tuple[Message, ...], context: ServiceContext, connection: AsyncConnection
) -> None:
    """Add messages to the outbox, in the connection's transaction."""
    for message in messages:
        await context.outbox.add(
            connection,
            TOPIC_OF[type(message)],
            context.faults.value_to_publish(message, await context.codec.encode(message)),
            key=key_of(message),
            headers=headers_of(message),
        )
