"""One send, from the call to the broker's acknowledgement: its span, headers and metrics."""

from __future__ import annotations

from asyncio import CancelledError
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, Status, StatusCode

from tracing.core import semconv
from tracing.core.otel_context import SPAN_KEY
from tracing.headers import cloudevents
from tracing.headers.codec import explain, latest, text, without
from tracing.headers.context import continuing
from tracing.headers.dead_letter import unmarked
from tracing.headers.flow import current_flow
from tracing.headers.w3c import RemoteSpan
from tracing.messaging.flow_lag import Publications
from tracing.messaging.outcome import decisive
from tracing.metrics import catalog
from tracing.metrics.series import OperationSeries

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from tracing.core.semconv import AttributeValue
    from tracing.headers.codec import Header
    from tracing.headers.context import Extracted
    from tracing.messaging.transport import ClientInfo
    from tracing.metrics.instruments import Durations
    from tracing.spans.starter import SpanStarter
    from tracing.telemetry import Telemetry


_UNSEEN = object()
_NONE: Mapping[str, object] = {}
_ERROR = Status(StatusCode.ERROR)


class Destination:
    """What all sends of one producer to one topic share.

    Args:
        telemetry: What the service's clients share.
        info: The producer.
        topic: Where the messages go.
        operation: What the sending is called.
    """

    __slots__ = (
        "attributes",
        "completion",
        "name",
        "publications",
        "series",
        "topic",
        "transport",
    )

    def __init__(
        self,
        telemetry: Telemetry,
        info: ClientInfo,
        topic: str,
        operation: str = semconv.SEND,
    ) -> None:
        described: dict[str, str | int] = {
            semconv.SYSTEM: info.transport.system,
            semconv.OPERATION_NAME: operation,
            semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[operation],
            semconv.DESTINATION: topic,
        }
        self.topic = topic
        self.transport = info.transport
        self.completion = cloudevents.Completion(telemetry.source, topic)
        self.name = semconv.span_name(operation, topic)
        self.attributes: dict[str, AttributeValue] = {**described, **info.attributes()}
        self.publications = Publications(telemetry, topic)
        self.series = OperationSeries(
            telemetry.metrics,
            described,
            durations=catalog.OPERATION_DURATION,
            messages=catalog.SENT_MESSAGES,
        )


class Sending:
    """A send under way. Exactly one of `acknowledged` and `failed` ends it.

    Args:
        telemetry: What the service's clients share.
        destination: Where the message goes.
        span: The span of the send; `None` where nobody records it.
        headers: What to send along.
        messages: How many messages it is.
        created_ms: When the event came about, unix ms, where that is known.
        published: Takes how long it took from there to the record's timestamp.
    """

    __slots__ = (
        "_created_ms",
        "_destination",
        "_messages",
        "_published",
        "_span",
        "_started",
        "_telemetry",
        "headers",
    )

    def __init__(
        self,
        telemetry: Telemetry,
        destination: Destination,
        span: Span | None,
        headers: list[Header],
        messages: int = 1,
        created_ms: int | None = None,
        published: Durations | None = None,
    ) -> None:
        self._created_ms = created_ms
        self._published = published
        self._telemetry = telemetry
        self._destination = destination
        self._span = span
        self._messages = messages
        self.headers = headers
        self._started = perf_counter()

    def done(self, future: Future[Any]) -> None:
        """End the send as its future ended. A callback: never raises."""
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

    def acknowledged(self, metadata: Any) -> None:
        """End the send with the broker's answer; `None` where none was asked for (acks=0)."""
        try:
            series = self._destination.series
            span = self._span
            series.succeeded.record(perf_counter() - self._started, span)
            series.messages.value += self._messages
            if self._created_ms is not None and metadata is not None:
                self._note_publication(metadata.timestamp - self._created_ms)
            if span is None:
                return
            if metadata is not None:
                self._telemetry.spans.enrich(span, self._destination.transport.placement(metadata))
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
        self._end()

    def _note_publication(self, publish_ms: int) -> None:
        if publish_ms < 0:
            self._telemetry.diagnostics.publish_skew.value += 1
            publish_ms = 0
        if self._published is not None:
            self._published.record(publish_ms / 1000, self._span)

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
            span = self._span or INVALID_SPAN
            span.set_attribute(semconv.ERROR_TYPE, kind)
            span.set_status(_ERROR)
            self._telemetry.record_exception(
                semconv.SEND,
                error,
                self._destination.attributes,
                trace.set_span_in_context(span),
            )
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
        self._end()

    def _end(self) -> None:
        if self._span is None:
            return
        try:
            self._span.end()
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)


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
    present: Mapping[str, object] = _NONE
    outgoing: list[Header] = []
    if headers:
        present = latest(headers)
        headers = unmarked(headers, present)
        outgoing = headers.copy()
        if not propagation.fields.isdisjoint(present):
            outgoing = without(headers, propagation.fields)
            context, links = _continued(
                context, propagation.extract(headers, present, destination.topic)
            )
    made = b""
    created_ms: int | None = now_ms
    if telemetry.cloudevents:
        made = destination.completion.add_to(outgoing, present, now_ms)
    if present and cloudevents.TIME in present:
        created_ms = telemetry.created_ms(present)
    creation = unrecorded(telemetry.spans, context)
    span: Span | None = None
    if creation is None:
        creation = started = telemetry.spans.start(
            destination.name, context, SpanKind.PRODUCER, destination.attributes, links
        )
        if started.is_recording():
            span = started
            attributes = propagation.described(context, now_ms)
            if made:
                attributes[semconv.MESSAGE_ID] = made.decode()
            telemetry.spans.enrich(span, _described(telemetry, attributes, present, record))
    try:
        propagation.inject(outgoing, creation, context, destination.topic, now_ms)
    except Exception:
        if span is not None:
            span.end()
        raise
    published = destination.publications.of(current_flow(context))
    return Sending(telemetry, destination, span, outgoing, 1, created_ms, published)


def unrecorded(spans: SpanStarter, context: Context) -> Span | bytes | None:
    """The creation context of a message whose span is certain not to be recorded, else `None`."""
    current = context.get(SPAN_KEY)
    if current is None:
        return spans.dropped_root()
    if isinstance(current, RemoteSpan) and not current.sampled and spans.drops_unsampled:
        return current
    return None


def _described(
    telemetry: Telemetry,
    attributes: dict[str, AttributeValue],
    present: Mapping[str, object],
    record: tuple[object, object, object],
) -> dict[str, AttributeValue]:
    key, value, partition = record
    if present:
        attributes.update(cloudevents.identity(present))
    if value is None:
        attributes[semconv.TOMBSTONE] = True
    if isinstance(partition, int):
        attributes[semconv.PARTITION] = str(partition)
    if telemetry.message_keys and (written := key_text(key)) is not None:
        attributes[semconv.MESSAGE_KEY] = written
    return attributes


def key_text(key: object) -> str | None:
    """A key as text, at most 256 characters; `None` where it is not text."""
    if isinstance(key, bytes):
        return text(key, 256)
    return key[:256] if isinstance(key, str) else None


def _continued(context: Context, carried: Extracted) -> tuple[Context, tuple[Link, ...]]:
    """The context to send in, and links to another one that the headers brought along.

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
