"""One send, from the call to the broker's acknowledgement: its span, headers and metrics."""

from __future__ import annotations

from asyncio import CancelledError
from contextvars import ContextVar
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, Status, StatusCode

from tracing.core import semconv
from tracing.core.otel_context import SPAN_KEY
from tracing.headers import cloudevents, w3c
from tracing.headers.codec import explain, key_text, latest, without
from tracing.headers.context import continuing
from tracing.headers.dead_letter import unmarked
from tracing.headers.flow import current_flow
from tracing.headers.w3c import RemoteSpan
from tracing.messaging.message_type import OutgoingMessage, asked, described
from tracing.messaging.outcome import decisive

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

    from tracing.core.semconv import Attributes, AttributeValue
    from tracing.headers.codec import Header
    from tracing.headers.context import Extracted
    from tracing.messaging.destination import Destination, TypedDestination
    from tracing.metrics.instruments import Count, Durations
    from tracing.telemetry import Telemetry


SERIALIZING: Final[ContextVar[Span | None]] = ContextVar("pipeline-serializing", default=None)
"""The span of the send for which a producer's own serializers run next; see `Schemas`."""

SENT: Final[list[Header]] = []
"""The headers of a send whose client has them."""

_UNSEEN = object()
_NONE: Mapping[str, bytes | None] = {}
_ERROR = Status(StatusCode.ERROR)


class Sending:
    """A send under way, made by `begin`. Exactly one of `acknowledged` and `failed` ends it.

    Args:
        telemetry: What the service's clients share.
        destination: Where the message goes.
        started: When the send began, by `time.perf_counter`; by default now.

    Attributes:
        span: The span of the send; `None` where it is not recorded.
        headers: The headers to send.
        messages: Number of messages in the send that count for the destination.
        others: Counts of further messages in the send, as of other types in a batch, each with
            their number.
        created_ms: When the event came about, unix ms, where that is known.
        published: Receives the time from there to the record's timestamp.
        sent_in: The context that was current where the send began; `None` for the current one.
        ends_in: See `FlatSending`.
    """

    __slots__ = (
        "_destination",
        "_started",
        "_telemetry",
        "created_ms",
        "headers",
        "messages",
        "others",
        "published",
        "sent_in",
        "span",
    )

    ends_in = None

    def __init__(
        self,
        telemetry: Telemetry,
        destination: TypedDestination,
        span: Span | None,
        headers: list[Header],
        started: float | None = None,
    ) -> None:
        self.created_ms: int | None = None
        self.published: Durations | None = None
        self.sent_in: Context | None = None
        self._telemetry = telemetry
        self._destination = destination
        self.span = span
        self.messages = 1
        self.others: Sequence[tuple[Count, int]] = ()
        self.headers = headers
        self._started = perf_counter() if started is None else started

    def done(self, future: Future[Any]) -> None:
        """End the send as its future ended. As a callback it never raises."""
        try:
            if future.cancelled():
                self._end()
                return
            # Future.exception() would also silence asyncio's warning for an error that the
            # application never looks at.
            error = getattr(future, "_exception", _UNSEEN)
            if error is None or (error is _UNSEEN and future.exception() is None):
                self.acknowledged(future.result())
            else:
                self.failed(error if isinstance(error, BaseException) else future.exception())
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)

    __call__ = done

    def acknowledged(self, metadata: Any) -> None:
        """End the send with the broker's acknowledgement; `None` without one (acks=0)."""
        try:
            destination = self._destination
            span = self.span
            destination.series.succeeded.record(perf_counter() - self._started, span)
            destination.messages.value += self.messages
            for count, messages in self.others:
                count.value += messages
            if self.created_ms is not None and metadata is not None:
                self._note_publication(metadata.timestamp - self.created_ms)
            if span is None:
                return
            if metadata is not None:
                self._telemetry.spans.enrich(span, destination.transport.placement(metadata))
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
        self._end()

    def _note_publication(self, publish_ms: int) -> None:
        if publish_ms < 0:
            self._telemetry.diagnostics.publish_skew.value += 1
            publish_ms = 0
        if self.published is not None:
            self.published.record(publish_ms / 1000, self.span)

    def failed(self, error: BaseException | None) -> None:
        """End the send with its error. A cancelled wait is none: the message may be on its way."""
        if error is None or isinstance(error, CancelledError):
            self._end()
            return
        try:
            explain(error, self.headers)
            error = decisive(error)
            kind = semconv.error_type(error)
            self._destination.series.failed(kind).record(perf_counter() - self._started)
            span = self.span or INVALID_SPAN
            span.set_attribute(semconv.ERROR_TYPE, kind)
            span.set_status(_ERROR)
            self._telemetry.record_exception(
                semconv.SEND,
                error,
                self._destination.attributes,
                trace.set_span_in_context(span, self.sent_in),
            )
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
        self._end()

    def _end(self) -> None:
        if self.span is None:
            return
        try:
            self.span.end()
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)


def begin(
    telemetry: Telemetry,
    destination: TypedDestination,
    parent: Context,
    headers: list[Header] | None,
    now_ms: int,
    links: Sequence[Link] = (),
    *,
    keep_baggage: bool = False,
    attributes: Attributes | None = None,
    kind: SpanKind = SpanKind.PRODUCER,
    follows: SpanContext | None = None,
) -> Sending:
    """Start the span of a send, and add its context to the headers.

    A span that is certain not to be recorded is not started: its parent stands for it.

    Args:
        telemetry: What the service's clients share.
        destination: Where the message goes, with the name of the operation and the type.
        parent: The context that the span is in; its flow goes along, or begins here.
        headers: The headers to send, without any of `propagation.fields`. `None` for a batch,
            whose messages have headers of their own.
        now_ms: The origin of a flow that begins here, unix ms.
        links: Links of the span.
        keep_baggage: Whether the message has baggage of its own, or goes without.
        attributes: Attributes of the span; by default the destination's.
        kind: The kind of the span.
        follows: Where the span begins a trace, the linked span whose sampling decision it keeps.
    """
    spans = telemetry.spans
    current = parent.get(SPAN_KEY)
    creation: Span | bytes | None = None
    if current is None and follows is None:
        creation = spans.dropped_root()
    elif isinstance(current, RemoteSpan) and not current.sampled and spans.drops_unsampled:
        creation = current
    span: Span | None = None
    if creation is None:
        described = attributes or destination.attributes
        creation = started = spans.start(
            destination.name, parent, kind, described, links, follows=follows
        )
        if started.is_recording():
            span = started
    if headers is None:
        return Sending(telemetry, destination, span, [])
    try:
        if keep_baggage:
            injected: list[Header] = []
            telemetry.propagation.inject(injected, creation, parent, destination.topic, now_ms)
            headers += [header for header in injected if header[0] != w3c.BAGGAGE]
        else:
            telemetry.propagation.inject(headers, creation, parent, destination.topic, now_ms)
    except Exception:
        if span is not None:
            span.end()
        raise
    return Sending(telemetry, destination, span, headers)


def begin_send(
    telemetry: Telemetry,
    destination: Destination,
    headers: list[Header],
    record: tuple[object, object, object],
) -> Sending:
    """Start the span of a send and make the headers to send.

    Args:
        telemetry: What the service's clients share.
        destination: Where the record goes.
        headers: The application's headers.
        record: The record's key, value and, where the application chose one, partition.
    """
    propagation = telemetry.propagation
    context = get_current()
    now_ms = time_ns() // 1_000_000
    links: tuple[Link, ...] = ()
    present: Mapping[str, bytes | None] = _NONE
    outgoing: list[Header] = []
    message_type = destination.assumed
    if headers:
        present = latest(headers)
        message_type = present.get(cloudevents.TYPE, message_type)
        headers = unmarked(headers, present)
        outgoing = headers.copy()
        if not propagation.fields.isdisjoint(present):
            outgoing = without(headers, propagation.fields)
            context, links = _continued(
                context, propagation.extract(headers, present, destination.topic)
            )
    if telemetry.message_type is not None and cloudevents.TYPE not in present:
        present = _named(telemetry, destination.topic, headers, record, present)
        if telemetry.cloudevents and cloudevents.TYPE in present:
            outgoing.append((cloudevents.TYPE, present[cloudevents.TYPE]))
        message_type = present.get(cloudevents.TYPE, message_type)
    typed = destination.types[message_type]
    made = b""
    created_ms: int | None = now_ms
    if telemetry.cloudevents:
        made = destination.completion.add_to(outgoing, present, now_ms)
    if present and cloudevents.TIME in present:
        created_ms = telemetry.created_ms(present)
    sending = begin(telemetry, typed, context, outgoing, now_ms, links)
    sending.created_ms = created_ms
    sending.published = destination.publications.of(current_flow(context))
    if sending.span is not None:
        attributes = propagation.described(context, now_ms)
        if made:
            attributes[semconv.MESSAGE_ID] = made.decode()
        if typed.mixed:
            attributes.update(described(message_type))
        attributes = _described(telemetry, destination.topic, attributes, present, record)
        telemetry.spans.enrich(sending.span, attributes)
    return sending


def _described(
    telemetry: Telemetry,
    topic: str,
    attributes: dict[str, AttributeValue],
    present: Mapping[str, object],
    record: tuple[object, object, object],
) -> dict[str, AttributeValue]:
    key, value, partition = record
    if present:
        attributes.update(cloudevents.identity(present))
    if telemetry.describe_schema is not None:
        attributes.update(telemetry.describe_schema(topic, value, present))
    if value is None:
        attributes[semconv.TOMBSTONE] = True
    if isinstance(partition, int):
        attributes[semconv.PARTITION] = str(partition)
    if telemetry.message_keys and (written := key_text(key)) is not None:
        attributes[semconv.MESSAGE_KEY] = written
    return attributes


def _named(
    telemetry: Telemetry,
    topic: str,
    headers: list[Header],
    record: tuple[object, object, object],
    present: Mapping[str, bytes | None],
) -> Mapping[str, bytes | None]:
    """Add the type that the user's function gives a message to what is `present`."""
    key, value, _partition = record
    named = asked(telemetry, OutgoingMessage(topic=topic, key=key, value=value, headers=headers))
    return present if named is None else {**present, cloudevents.TYPE: named}


def _continued(context: Context, carried: Extracted) -> tuple[Context, tuple[Link, ...]]:
    """Return the context to send in, and a link to the one that the headers carry.

    Headers with a context of their own come from a stored or forwarded message. Where nothing is
    current, that context continues; else it is linked, unless it is in the same trace anyway.
    """
    creation, flow, _ = carried
    current = trace.get_current_span(context).get_span_context()
    if not current.is_valid:
        return (continuing(carried) if creation or flow else context), ()
    if creation is not None:
        created = creation.get_span_context()
        if created.trace_id != current.trace_id:
            return context, (Link(created),)
    return context, ()
