"""Doing what a message asks, and telling the others what came of it, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo_pipeline.domain.codec import encode, headers_of
from demo_pipeline.domain.deadlines import PATIENT
from demo_pipeline.domain.pace import steady_pace
from demo_pipeline.domain.topics import TOPIC_OF, key_of
from demo_pipeline.runtime.database_outage import is_away, outlast
from demo_pipeline.runtime.faults import no_faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka.structs import ConsumerRecord
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from demo_pipeline.domain.commands import PlaceOrder
    from demo_pipeline.domain.deadlines import Deadlines
    from demo_pipeline.domain.messages import Message
    from demo_pipeline.domain.pace import Pace
    from demo_pipeline.runtime.faults import Faults
    from demo_pipeline.runtime.service import Handler
    from tracing import Telemetry
    from tracing.sql import SqlInbox, SqlOutbox


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a service does its work.

    Attributes:
        telemetry: What its clients share.
        database: Its own database.
        inbox: Knows which messages were worked on before.
        outbox: Takes the messages that are to be sent.
        committed: Called when there may be something in the outbox.
        faults: What goes wrong on purpose.
        deadlines: How patient its sagas are, if it has any.
        pace: How fast the shop is; deadlines stretch with it.
    """

    telemetry: Telemetry
    database: AsyncEngine
    inbox: SqlInbox
    outbox: SqlOutbox
    committed: Callable[[], None]
    faults: Faults = field(default_factory=no_faults)
    deadlines: Deadlines = PATIENT
    pace: Pace = field(default_factory=steady_pace)


async def perform(
    handler: Handler,
    message: Message | PlaceOrder,
    workplace: Workplace,
    record: ConsumerRecord[Any, Any] | None = None,
) -> tuple[Message, ...] | None:
    """Let a handler change the database, and send what came of it if that commits.

    While the database is away, a record waits for it: nobody should have to replay what failed
    for that.

    Args:
        handler: What to do; called again where its transaction was lost.
        message: What it is to be done with.
        workplace: Where.
        record: What the message came with; `None` for a message that came otherwise.

    Returns:
        What came of it; `None` where the record's message was worked on before.
    """
    failures = 0
    while True:
        connected = False
        try:
            async with workplace.database.begin() as connection:
                connected = True
                if record is not None and not await workplace.inbox.accept(connection, record):
                    return None
                messages = await handler(message, connection)
                await put(messages, workplace, connection)
        except Exception as error:
            # Who waits for an answer is told; a record can wait, and is no worse for that.
            if record is None or not is_away(error, connected=connected):
                raise
            failures += 1
            await outlast(failures, error)
        else:
            workplace.committed()
            return messages


async def put(
    messages: tuple[Message, ...], workplace: Workplace, connection: AsyncConnection
) -> None:
    """Put messages into the outbox, in the connection's transaction."""
    for message in messages:
        await workplace.outbox.add(
            connection,
            TOPIC_OF[type(message)],
            workplace.faults.written(message, encode(message)),
            key=key_of(message),
            headers=headers_of(message),
        )
