"""Handling messages and publishing the resulting messages, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo_pipeline.domain.codec import headers_of
from demo_pipeline.domain.messages import Together
from demo_pipeline.domain.topics import TOPIC_OF, key_of
from demo_pipeline.runtime.commit_budget import is_late

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka.structs import ConsumerRecord
    from sqlalchemy import Connection

    from demo_pipeline.domain.commands import PlaceOrder
    from demo_pipeline.domain.messages import Handler, Message
    from demo_pipeline.runtime.group_commit import Piece
    from demo_pipeline.runtime.service_context import ServiceContext
    from tracing.sql import AddedRecords


@dataclass(frozen=True, slots=True)
class _Handling:
    handler: Handler
    message: Message | PlaceOrder
    service: ServiceContext
    record: ConsumerRecord[Any, Any] | None


@dataclass(frozen=True, slots=True)
class _Handled:
    """What came of a message.

    Attributes:
        messages: The messages to publish; `None` if it was handled before.
        stored: All records that its transaction added to the outbox.
    """

    messages: tuple[Message, ...] | None
    stored: AddedRecords


async def perform(
    handler: Handler,
    message: Message | PlaceOrder,
    context: ServiceContext,
    record: ConsumerRecord[Any, Any] | None = None,
) -> tuple[Message, ...] | None:
    """Run a handler in a transaction, and publish the messages that it returns.

    A record waits while the database is unavailable, so that an outage makes no dead letters. A
    caller without a record waits for an answer, and gets the error.

    Args:
        handler: The handler; called again if its transaction was lost.
        message: The message to handle.
        context: What the service works with.
        record: The record of the message; `None` if it did not come from Kafka.

    Returns:
        The messages to publish; `None` if the record was handled before.
    """
    handling = _Handling(handler, message, context, record)
    # An HTTP client waits for the answer.
    at_once = record is None or is_late(record.timestamp, context.pace.factor)
    handled = await context.commits.run(
        _handle_all, handling, patient=record is not None, at_once=at_once
    )
    if handled.messages:
        context.committed(handled.stored)
    return handled.messages


def _handle_all(connection: Connection, pieces: Sequence[Piece[_Handling]]) -> list[_Handled]:
    """Handle the messages of one service, each in the context of its own task."""
    service = pieces[0].work.service
    new = accepted(connection, service, [(each, each.work.record) for each in pieces])
    by_handler: dict[Handler, list[Piece[_Handling]]] = {}
    for piece, is_new in zip(pieces, new, strict=True):
        if is_new:
            by_handler.setdefault(piece.work.handler, []).append(piece)
    answers: dict[int, tuple[Message, ...]] = {}
    rows: list[dict[str, object]] = []
    for handler, alike in by_handler.items():
        answered = _answers(handler, alike, connection)
        for piece, messages in zip(alike, answered, strict=True):
            answers[id(piece)] = messages
            rows += piece.context.run(rows_of, messages, service)
    stored = service.outbox.hand_over_in(connection, rows)
    return [_Handled(answers.get(id(piece)), stored) for piece in pieces]


def _answers(
    handler: Handler, pieces: Sequence[Piece[_Handling]], connection: Connection
) -> list[tuple[Message, ...]]:
    if isinstance(handler, Together):
        return handler.all([each.work.message for each in pieces], connection)
    return [each.context.run(handler, each.work.message, connection) for each in pieces]


def accepted(
    connection: Connection,
    context: ServiceContext,
    pieces: Sequence[tuple[Piece[Any], ConsumerRecord[Any, Any] | None]],
) -> list[bool]:
    """Return whether the event of each record is new; what has no record is new, too."""
    records = [(piece, record) for piece, record in pieces if record is not None]
    answers = iter(
        context.inbox.accept_all_in(
            connection,
            [record for _, record in records],
            [piece.context for piece, _ in records],
        )
    )
    return [record is None or next(answers) for _, record in pieces]


def rows_of(messages: tuple[Message, ...], context: ServiceContext) -> list[dict[str, object]]:
    """Return the rows of messages in the outbox, as children of the current span."""
    return [
        context.outbox.row(
            TOPIC_OF[type(message)],
            context.faults.value_to_publish(message, context.codec.encode(message)),
            key=key_of(message),
            headers=headers_of(message),
        )
        for message in messages
    ]
