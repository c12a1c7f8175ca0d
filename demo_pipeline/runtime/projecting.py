"""From a Kafka record to the read models of a service."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from demo_pipeline.runtime.database import DatabaseOutage, is_away
from demo_pipeline.runtime.service import Work
from tracing.replay import LogPartition
from tracing.sql import ProjectionStaleness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from aiokafka.structs import ConsumerRecord

    from demo_pipeline.domain.messages import Message
    from demo_pipeline.runtime.service import RecordHandler
    from demo_pipeline.runtime.service_context import ServiceContext
    from tracing.sql import Projection, SqlProjections


def projecting(
    service: str, read_models: SqlProjections, projections: Sequence[Projection]
) -> Callable[[ServiceContext], AbstractAsyncContextManager[Work]]:
    """Return what a service does that keeps read models up to date and sends nothing."""

    @asynccontextmanager
    async def at_work(context: ServiceContext) -> AsyncIterator[Work]:
        await _mention_unbuilt(service, read_models, projections, context)
        staleness = ProjectionStaleness(
            context.telemetry, read_models, projections, ends=context.ends, service=service
        )
        measuring = asyncio.create_task(staleness.run(context.database))
        try:
            yield Work(projector(service, read_models, projections, context))
        finally:
            measuring.cancel()
            await asyncio.wait({measuring})

    return at_work


def projector(
    service: str,
    read_models: SqlProjections,
    projections: Sequence[Projection],
    context: ServiceContext,
) -> RecordHandler:
    """Return the function that `tracing.consume` calls with every record of such a service.

    It raises `tracing.UndecodableRecord` for a record that claims to be one of our messages and is
    not.
    """
    logger = logging.getLogger(f"demo_pipeline.{service}")

    async def handle(record: ConsumerRecord[Any, Any]) -> None:
        context.ends.received(record)
        message = await context.codec.decode(record)
        if message is None:
            logger.info("%s[%d] has a record of an unknown type", record.topic, record.partition)
        else:
            await context.faults.before(message)
        new = await _project(read_models, projections, message, context, record)
        place = LogPartition(record.topic, record.partition)
        context.arrivals.announce(place, None if message is None else message.order.order_id)
        if message is not None:
            name, order_id = type(message).__name__, message.order.order_id
            outcome = "done" if new else "already done"
            logger.info("%s of order %s %s %s", name, order_id, "is" if new else "was", outcome)

    return handle


async def _mention_unbuilt(
    service: str,
    read_models: SqlProjections,
    projections: Sequence[Projection],
    context: ServiceContext,
) -> None:
    """Log which read models lack what the group has passed, and how to build them."""
    async with context.database.connect() as connection:
        for each in projections:
            if await read_models.active_generation(connection, each.name) is None:
                logging.getLogger(f"demo_pipeline.{service}").warning(
                    "the read model %s is new in this database and lacks what %s handled before: "
                    "it stays empty until it is built from the log: "
                    "python -m demo_pipeline replay --read-model %s",
                    each.name,
                    service,
                    each.name,
                )


async def _project(
    read_models: SqlProjections,
    projections: Sequence[Projection],
    message: Message | None,
    context: ServiceContext,
    record: ConsumerRecord[Any, Any],
) -> bool:
    """Apply a record to the read models that read its topic; wait out an outage of the database.

    Every record moves their positions, also one that changes no rows.

    Returns:
        Whether its event is new.
    """
    reading = [each for each in projections if record.topic in each.topics]
    outage = DatabaseOutage()
    while True:
        connected = False
        try:
            async with context.database.begin() as connection:
                connected = True
                generations = await read_models.advance(
                    connection, [each.name for each in reading], record
                )
                if message is None:
                    return True
                new = await context.inbox.accept(connection, record)
                for each in reading if new else ():
                    if each.name in generations:
                        await each.apply(connection, generations[each.name], [message])
                return new
        except Exception as error:
            if not is_away(error, connected=connected):
                raise
            await outage.outlast(error)
