"""From a Kafka record to the read models of a service."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

from demo_pipeline.runtime.commit_budget import is_late
from demo_pipeline.runtime.publishing import accepted
from demo_pipeline.runtime.service import Work
from tracing.replay import LogPartition
from tracing.sql import ProjectionStaleness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from aiokafka.structs import ConsumerRecord
    from sqlalchemy import Connection

    from demo_pipeline.domain.messages import Message
    from demo_pipeline.runtime.group_commit import Piece
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
                    quote(each.name),
                )


@dataclass(frozen=True, slots=True)
class _Projecting:
    """A record to apply to read models.

    Attributes:
        store: Which generation of each read model is active.
        projections: The read models that read its topic.
        service: What the service works with.
        record: The record.
        message: Its message; `None` if it is of an unknown type.
    """

    store: SqlProjections
    projections: tuple[Projection, ...]
    service: ServiceContext
    record: ConsumerRecord[Any, Any]
    message: Message | None


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
    reading = tuple(each for each in projections if record.topic in each.topics)
    projecting = _Projecting(read_models, reading, context, record, message)
    at_once = is_late(record.timestamp, context.pace.factor)
    return await context.commits.run(_project_all, projecting, patient=True, at_once=at_once)


def _project_all(connection: Connection, pieces: Sequence[Piece[_Projecting]]) -> list[bool]:
    """Apply the records of one service."""
    generations: dict[int, dict[str, int]] = {}
    for projections in {piece.work.projections for piece in pieces}:
        reading = [each for each in pieces if each.work.projections == projections]
        advanced = reading[0].work.store.advance_all_in(
            connection,
            [each.name for each in projections],
            [each.work.record for each in reading],
        )
        generations |= {id(each): one for each, one in zip(reading, advanced, strict=True)}
    # An unknown message has no identity to keep: its position is enough.
    new = accepted(
        connection,
        pieces[0].work.service,
        [(each, each.work.record if each.work.message is not None else None) for each in pieces],
    )
    events: dict[tuple[Projection, int], list[Message]] = {}
    for piece, is_new in zip(pieces, new, strict=True):
        message = piece.work.message
        for each in piece.work.projections if is_new and message is not None else ():
            generation = generations[id(piece)].get(each.name)
            if generation is not None and message is not None:
                events.setdefault((each, generation), []).append(message)
    for (projection, generation), applied in events.items():
        if projection.apply_in is not None:
            projection.apply_in(connection, generation, applied)
    return new
