"""Batches: every message gets its own creation context, and the send is linked to them."""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.context import get_current
from opentelemetry.trace import Link, SpanKind, get_current_span

from tracing.core import semconv
from tracing.core.otel_context import SUPPRESSED
from tracing.headers import cloudevents
from tracing.headers.codec import explain, latest, listed, without
from tracing.headers.dead_letter import unmarked
from tracing.kafka.proxy import ClientProxy
from tracing.messaging.fan_in import MAX_LINKS, deciding
from tracing.messaging.message_type import OutgoingMessage, asked, described
from tracing.messaging.send import begin

if TYPE_CHECKING:
    from collections.abc import Sequence

    # For type checkers a wrapper is a builder, as it is for isinstance.
    from aiokafka.producer.message_accumulator import BatchBuilder as _Builder
    from opentelemetry.trace import Span

    from tracing.core.semconv import AttributeValue
    from tracing.headers.codec import Header
    from tracing.kafka.protocols import KafkaBatch
    from tracing.messaging.destination import Destination
    from tracing.messaging.send import Sending
    from tracing.telemetry import Telemetry
else:
    _Builder = object


class TracedBatch(ClientProxy, _Builder):
    """Wraps a batch of `AIOKafkaProducer.create_batch`; a drop-in for it.

    A message's `create` span is the parent of its processing. It is reported when the batch is
    sent, because only then the topic is known: a batch that is never sent leaves no spans.
    """

    _held = "_batch"
    _added = frozenset({"wrapped"})

    def __init__(self, batch: KafkaBatch, telemetry: Telemetry) -> None:
        self._batch = batch
        self._telemetry = telemetry
        self._completion = cloudevents.Completion(telemetry.source, telemetry.pipeline)
        self._created: list[tuple[Span, int, bytes | None]] = []
        self._types: dict[bytes | None, int] = {}
        # A batch does not know its topic, so the type falls back to the flow's name.
        self._assumed = telemetry.pipeline.encode() if telemetry.cloudevents else None
        self._complete()

    @property
    def wrapped(self) -> KafkaBatch:
        """The batch inside."""
        return self._batch

    def append(
        self,
        *,
        timestamp: float | None,
        key: Any,
        value: Any,
        headers: Sequence[Header] = (),
    ) -> Any:
        """Add a message, as `BatchBuilder.append`; `None` where the batch is full."""
        own_headers = listed(headers)
        span: Span | None = None
        message_type: bytes | None = None
        try:
            message_type, named = self._type(own_headers, key, value)
            outgoing, span = self._message(own_headers + named, message_type)
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
            outgoing = unmarked(own_headers, latest(own_headers))
        try:
            metadata = self._batch.append(
                timestamp=timestamp, key=key, value=value, headers=outgoing
            )
        except Exception as error:
            explain(error, outgoing)
            raise
        if metadata is not None:
            self._types[message_type] = self._types.get(message_type, 0) + 1
            if span is not None:
                self._created.append((span, time_ns(), message_type))
        return metadata

    def close(self) -> None:
        """Close the batch to further messages, as `BatchBuilder.close`."""
        self._batch.close()

    def size(self) -> int:
        """Size in bytes, as `BatchBuilder.size`."""
        return self._batch.size()

    def record_count(self) -> int:
        """Number of messages, as `BatchBuilder.record_count`."""
        return self._batch.record_count()

    def closed(self) -> bool:
        """Whether the batch is closed, as `BatchBuilder.closed`."""
        return self._batch.closed()

    def _report(self, destination: Destination) -> tuple[list[Link], dict[bytes | None, int]]:
        """End the messages' `create` spans, now that the topic is known.

        Returns:
            Links to them, and the number of messages of each type.
        """
        created, self._created = self._created, []
        name = semconv.span_name(semconv.CREATE, destination.topic)
        kind = self._telemetry.kind(destination.topic)
        for span, ended_ns, _ in created:
            span.update_name(name)
            span.set_attribute(semconv.DESTINATION, destination.topic)
            if kind is not None:
                span.set_attribute(semconv.MESSAGE_KIND, kind)
            span.end(ended_ns)
        links = [Link(span.get_span_context(), described(each)) for span, _, each in created]
        return links, self._types

    def _type(
        self, headers: list[Header], key: object, value: object
    ) -> tuple[bytes | None, list[Header]]:
        """Return a message's type, and the header that says so where the application has none."""
        present = latest(headers)
        if cloudevents.TYPE in present:
            return present[cloudevents.TYPE], []
        telemetry = self._telemetry
        if telemetry.message_type is None:
            return self._assumed, []
        message = OutgoingMessage(topic="", key=key, value=value, headers=headers)
        if (named := asked(telemetry, message)) is None:
            return self._assumed, []
        return named, [(cloudevents.TYPE, named)] if telemetry.cloudevents else []

    def _message(
        self, headers: list[Header], message_type: bytes | None
    ) -> tuple[list[Header], Span | None]:
        telemetry = self._telemetry
        propagation = telemetry.propagation
        present = latest(headers)
        headers = unmarked(headers, present)
        context = get_current()
        if context.get(SUPPRESSED):
            return headers, None
        now_ms = time_ns() // 1_000_000
        outgoing = without(headers, propagation.fields)
        if telemetry.cloudevents:
            self._completion.add_to(outgoing, present, now_ms)
        span: Span | None = None
        creation = get_current_span(context)
        if telemetry.create_spans:
            attributes: dict[str, AttributeValue] = {
                semconv.SYSTEM: semconv.SYSTEM_KAFKA,
                semconv.OPERATION_NAME: semconv.CREATE,
                semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[semconv.CREATE],
                **propagation.described(context, now_ms),
                **cloudevents.identity(latest(outgoing)),
                **described(message_type),
            }
            span = telemetry.spans.start(semconv.CREATE, context, SpanKind.PRODUCER, attributes)
            creation = span
        propagation.inject(outgoing, creation, context, None, now_ms)
        return outgoing, span


def begin_batch(
    telemetry: Telemetry,
    destination: Destination,
    batch: KafkaBatch | TracedBatch,
    partition: int,
) -> Sending:
    """Start the span of a batch send.

    Its kind is CLIENT where `create` spans do the producing, else PRODUCER.
    """
    links: list[Link] = []
    types: dict[bytes | None, int] = {}
    if isinstance(batch, TracedBatch):
        links, types = batch._report(destination)  # noqa: SLF001 - a drop-in has no name for this
    count = batch.record_count()
    # What differs among the messages is on their links.
    typed = destination.types[next(iter(types)) if len(types) == 1 else None]
    attributes: dict[str, AttributeValue] = {
        **typed.attributes,
        semconv.BATCH_COUNT: count,
        semconv.PARTITION: str(partition),
    }
    kind = SpanKind.CLIENT if links else SpanKind.PRODUCER
    follows = deciding(link.context for link in links)
    if len(links) > MAX_LINKS:
        telemetry.diagnostics.dropped("links", len(links) - MAX_LINKS)
        attributes[semconv.LINKS_DROPPED] = len(links) - MAX_LINKS
        del links[MAX_LINKS:]
    sending = begin(
        telemetry,
        typed,
        get_current(),
        None,
        0,
        links,
        attributes=attributes,
        kind=kind,
        follows=follows,
    )
    sending.messages = count
    if len(types) > 1:
        sending.messages -= sum(types.values())
        sending.others = [(destination.types[each].messages, types[each]) for each in types]
    return sending
