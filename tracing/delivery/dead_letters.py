"""Dead letters: the records that a group gives up on, in a topic where people can inspect them."""

from __future__ import annotations

import traceback
from contextvars import ContextVar
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_current

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.core.otel_context import SUPPRESSED
from tracing.core.text import plain_text
from tracing.delivery.dead_letter_names import TOPIC, DeadLetterNames
from tracing.delivery.failure_log import log_dead_letter
from tracing.headers import cloudevents, w3c
from tracing.headers.codec import latest, listed, without
from tracing.headers.dead_letter import (
    ERROR_HEADERS,
    REPLAY_HEADERS,
    Provenance,
    Replay,
    first_failed_at_ms,
)
from tracing.messaging.destination import Destination
from tracing.messaging.message_type import described, error_counts, type_of
from tracing.messaging.outcome import decisive
from tracing.messaging.send import begin
from tracing.messaging.transport import check_durable, sender_of
from tracing.messaging.unreadable import kept_as
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from tracing.headers.codec import Header
    from tracing.messaging.send import Sending
    from tracing.messaging.transport import Message, Producer, Transport
    from tracing.metrics.message_types import ByType
    from tracing.metrics.series import ErrorCounts
    from tracing.telemetry import Telemetry

_MAX_STACKTRACE: Final = 16_384


own_transaction: ContextVar[
    Callable[[Callable[[], Coroutine[Any, Any, None]]], Awaitable[None]] | None
] = ContextVar("pipeline-own-transaction", default=None)
"""Set while a record is handled in transactions: sends, and returns after the commit."""


class DeadLetters:
    """Publishes the records that a group gave up on, with all their headers and their provenance.

    The dead-letter topic must exist, unless the broker creates topics automatically. The
    provenance adds up to about 2 KiB; the producer refuses a record that exceeds its
    `max_request_size` with it.

    Args:
        producer: Sends them. It waits for acknowledgements (`acks` of 1 or "all"), leaves bytes
            unchanged, so it has no serializers, and is not transactional: inside a transaction
            an acknowledgement is provisional (KIP-98), and an abort would revoke dead letters
            whose records are committed.
        topic: The name of the dead-letter topic, in which `{topic}` is the record's topic and
            `{group}` the consumer group.
        stacktraces: Whether a dead letter says where the error came from. The trace names code,
            not values, except for the error's message in its last line, which is left out.
        transactional: Whether dead letters are part of the transactions of
            `consume(..., transactional=producer)`, and of no other loop; `producer` is then the
            transactional one.

    Raises:
        TypeError: `producer` is not wrapped, or `topic` is not a string.
        ValueError: The producer serializes, waits for no acknowledgement or is transactional
            without `transactional`, or the other way round; or `topic` does not distinguish
            topics or groups.

    Task safety: any number of loops of one event loop may share it.
    """

    def __init__(
        self,
        producer: Producer,
        *,
        topic: str = TOPIC,
        stacktraces: bool = False,
        transactional: bool = False,
    ) -> None:
        sender = sender_of(producer)
        if sender is None:
            raise TypeError(f"DeadLetters takes a TracedProducer, not {producer!r}")
        if sender.info.codec:
            raise ValueError(
                "dead letters are sent as the bytes that they were: give DeadLetters a producer "
                "without key_serializer and value_serializer"
            )
        if not transactional:
            check_durable(sender.info, "DeadLetters", "dead letters")
        elif sender.info.transactional_id is None:
            raise ValueError(
                "DeadLetters(transactional=True) takes the producer of consume(transactional=...), "
                "and this one has no transactional_id"
            )
        self.transactional = transactional
        self._names = DeadLetterNames(plain_text(topic, "topic"), sender.is_destination)
        self._producer = producer
        self._sender = sender
        self._telemetry = sender.telemetry
        self._stacktraces = stacktraces
        self._destinations: BoundedDict[str, Destination] = BoundedDict(
            lambda topic: Destination(sender.telemetry, sender.info, topic, semconv.DEAD_LETTER)
        )
        self._counts = BoundedDict(partial(_error_counts, sender.telemetry))

    @property
    def producer(self) -> Any:
        """The producer that sends them."""
        return self._producer

    def topic_of(self, topic: str, group: str) -> str:
        """Return the dead-letter topic of a topic and a group.

        Raises:
            ValueError: The result is not a valid topic name.
        """
        return self._names.of(topic, group)

    def prepare(self, topic: str, group: str) -> None:
        """Create the counter of a topic and group, at 0, before there is a dead letter.

        Raises:
            ValueError: The dead-letter topic cannot exist, as `topic_of`.
        """
        self.topic_of(topic, group)
        self._counts[topic, group, self._telemetry.pipelines.label(None), False][None]

    async def publish(
        self,
        record: Message,
        error: BaseException,
        *,
        group: str,
        attempts: int,
        first_failed_at_ms: int,
        transport: Transport | None = None,
    ) -> None:
        """Send a record to its dead-letter topic; return when the broker has it.

        It makes a `dead_letter {topic}` span, a child of the current span, and an ERROR line of
        the logger `tracing.dead_letters`.

        Args:
            record: The record, its key and value as bytes.
            error: Why it was given up; for an `ExceptionGroup`, the worst error inside is named.
            group: The consumer group that gave it up.
            attempts: Number of attempts.
            first_failed_at_ms: When it first failed, in Unix milliseconds; a replayed record
                keeps the time in its headers.
            transport: The kind of broker that it comes from; by default the producer's.

        Raises:
            Exception: What the producer raised; the record may have been sent or not.
        """
        error = decisive(error)
        transport = self._sender.info.transport if transport is None else transport
        position = transport.position(record)
        provenance = self._provenance(record, error, position, group, attempts, first_failed_at_ms)
        if self.transactional:
            await _in_own_transaction(partial(self._send, record, provenance))
        else:
            await self._send(record, provenance)
        telemetry = self._telemetry
        topic = self.topic_of(record.topic, group)
        log_dead_letter(
            telemetry,
            transport,
            record,
            error,
            group=group,
            attempts=attempts,
            dead_letter_topic=topic,
        )
        try:
            flow = telemetry.propagation.flow(get_current(), record.timestamp)
            pipeline = telemetry.pipelines.label(flow.get(semconv.PIPELINE))
            counts = self._counts[record.topic, group, pipeline, Replay.of(record) is not None]
            counts[type_of(telemetry, record)].add(semconv.error_type(error))
        except Exception as fault:
            telemetry.diagnostics.failed("dead_letter", fault)

    async def _send(self, record: Message, provenance: Provenance) -> None:
        # A stale replay mark must not come back when the dead letter is replayed.
        stale = ERROR_HEADERS if Replay.of(record) is not None else ERROR_HEADERS | REPLAY_HEADERS
        headers = without(listed(record.headers), stale)
        headers += provenance.headers()
        topic = self.topic_of(record.topic, provenance.group)
        sending = self._begin(topic, record, headers)
        if sending is not None:
            headers = sending.headers
        try:
            acknowledgement = await self._sender.send_raw(topic, record.value, record.key, headers)
        except BaseException as refused:
            if sending is not None:
                sending.failed(refused)
            raise
        if sending is not None:
            sending.acknowledged(acknowledgement)

    def _provenance(
        self,
        record: Message,
        error: BaseException,
        position: Mapping[str, int],
        group: str,
        attempts: int,
        failed_first_ms: int,
    ) -> Provenance:
        earlier = first_failed_at_ms(record)
        stacktrace = None
        if self._stacktraces:
            stacktrace = "".join(traceback.format_tb(error.__traceback__))[-_MAX_STACKTRACE:]
        return Provenance(
            topic=record.topic,
            partition=position.get("partition", -1),
            offset=position.get("offset", -1),
            timestamp_ms=record.timestamp,
            group=group,
            exception=semconv.error_type(error),
            message=self._telemetry.message_of(error),
            attempts=attempts,
            first_failed_at_ms=failed_first_ms if earlier is None else earlier,
            failed_at_ms=int(time() * 1000),
            stacktrace=stacktrace,
            unreadable=kept_as(error),
        )

    def _begin(self, topic: str, record: Message, headers: list[Header]) -> Sending | None:
        """Start the span and replace the record's trace context with the span's."""
        telemetry = self._telemetry
        try:
            context = get_current()
            if context.get(SUPPRESSED):
                return None
            present = latest(headers)
            message_type = type_of(telemetry, record, present)
            destination = self._destinations[topic].types[message_type]
            # Keep the record's own baggage, however much of it this service may see.
            kept = w3c.BAGGAGE in present
            fields = telemetry.propagation.fields - ({w3c.BAGGAGE} if kept else set())
            # A flow that begins here needs a time, and not every record has one.
            began_ms = record.timestamp if record.timestamp >= 0 else int(time() * 1000)
            sending = begin(
                telemetry,
                destination,
                context,
                without(headers, fields),
                began_ms,
                keep_baggage=kept,
            )
            if sending.span is not None:
                attributes = cloudevents.identity(present)
                if destination.mixed:
                    attributes |= described(message_type)
                telemetry.spans.enrich(sending.span, attributes)
        except Exception as fault:
            telemetry.diagnostics.failed("dead_letter", fault)
            return None
        return sending


def _error_counts(telemetry: Telemetry, place: tuple[str, str, str, bool]) -> ByType[ErrorCounts]:
    topic, group, pipeline, replayed = place
    labels = {
        semconv.PIPELINE_LABEL: pipeline,
        semconv.DESTINATION: topic,
        semconv.GROUP: group,
    }
    if replayed:
        labels[semconv.REPLAYED_LABEL] = "true"
    return error_counts(telemetry, catalog.DEAD_LETTERS, labels)


async def _in_own_transaction(send: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Send in a transaction that commits the record's offset as well.

    Raises:
        RuntimeError: The record is not handled by `consume(transactional=...)`.
        Exception: It could not be sent, or the transaction could not be committed.
    """
    sender = own_transaction.get()
    if sender is None:
        raise RuntimeError(
            "DeadLetters(transactional=True) is for consume(transactional=...) alone, which begins "
            "and ends the transactions"
        )
    await sender(send)
