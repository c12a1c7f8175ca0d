"""The process span of a record: its parent, its links and its attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context

from tracing.core import semconv
from tracing.core.otel_context import SPAN_KEY, SUPPRESSED
from tracing.headers import cloudevents
from tracing.headers.codec import key_text
from tracing.headers.context import continuing
from tracing.headers.dead_letter import REPLAY_GROUP, Replay
from tracing.headers.flow import flow_attributes
from tracing.headers.w3c import RemoteSpan
from tracing.messaging.fan_in import link_to
from tracing.messaging.message_type import described
from tracing.messaging.outcome import OK, REJECTED, RETRIED, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

    from tracing.core.semconv import AttributeValue
    from tracing.headers.context import Extracted
    from tracing.messaging.subscription import TypedLane
    from tracing.messaging.transport import Message
    from tracing.telemetry import Telemetry


def begin_process_span(
    telemetry: Telemetry,
    lane: TypedLane,
    record: Message,
    extracted: Extracted,
    ambient: Context,
    *,
    polled: SpanContext | None,
    wait_ms: int,
    start_ns: int,
    message_type: bytes | None,
) -> Span:
    """Start the span, or use the message's own context if no span would be recorded.

    Args:
        telemetry: What the service's clients share.
        lane: Where the record comes from.
        record: The record.
        extracted: What its headers say.
        ambient: The context in which it is handled.
        polled: The poll span that brought it, if any.
        wait_ms: Its age, in ms.
        start_ns: When its handling starts, unix ns.
        message_type: Its type.
    """
    creation = extracted[0]
    if (
        creation is None
        or lane.relation != "parent"
        or wait_ms > telemetry.link_after_ms
        or polled is not None
        or SPAN_KEY in ambient
    ):
        relation = lane.relation
        if record.timestamp >= 0 and wait_ms > telemetry.link_after_ms:
            relation = "link"
        context, links = _related(extracted, ambient, relation, polled, message_type)
        return telemetry.spans.start(
            lane.name,
            context,
            SpanKind.CONSUMER,
            lane.attributes,
            links,
            start_ns,
            follows=None if creation is None else creation.get_span_context(),
        )
    if (
        isinstance(creation, RemoteSpan)
        and not creation.sampled
        and telemetry.spans.drops_unsampled
    ):
        return creation
    return telemetry.spans.start(
        lane.name, continuing(extracted), SpanKind.CONSUMER, lane.attributes, (), start_ns
    )


def process_attributes(
    telemetry: Telemetry,
    lane: TypedLane,
    record: Any,
    present: Mapping[str, object],
    flow: Mapping[str, object],
    wait_ms: int,
    message_type: bytes | None,
) -> dict[str, AttributeValue]:
    """Describe one record on its span; `present` is `latest(record.headers)`.

    The lane's own attributes name the type, unless it is one of many.
    """
    attributes = {**cloudevents.identity(present), **lane.transport.attributes(record)}
    attributes.update(flow_attributes(flow))
    if lane.catch_up is not None and lane.catch_up.taken:
        attributes[semconv.CATCH_UP] = True
    elif record.timestamp >= 0:
        attributes[semconv.WAIT] = wait_ms / 1000
        created_ms = cloudevents.time_ms(present.get(cloudevents.TIME))
        if created_ms is not None and telemetry.window.holds(created_ms, record.timestamp):
            attributes[semconv.PUBLISH] = max(0, record.timestamp - created_ms) / 1000
    if lane.mixed:
        attributes |= described(message_type)
    if record.value is None:
        attributes[semconv.TOMBSTONE] = True
    if REPLAY_GROUP in present and (replay := Replay.of(record)) is not None:
        attributes[semconv.REPLAY_ID] = replay.id
    if telemetry.body_sizes:
        attributes[semconv.BODY_SIZE] = lane.transport.body_size(record)
    if telemetry.message_keys and (key := key_text(record.key)) is not None:
        attributes[semconv.MESSAGE_KEY] = key
    return attributes


def _related(
    extracted: Extracted,
    ambient: Context,
    relation: str,
    polled: SpanContext | None,
    message_type: bytes | None,
) -> tuple[Context, tuple[Link, ...]]:
    """Choose the parent and the links. A link to the parent would add nothing."""
    links: list[Link] = []
    creation = extracted[0]
    around = trace.get_current_span(ambient).get_span_context()
    if creation is not None and relation != "link":
        parent = continuing(extracted)
        if relation == "both":
            links.append(link_to(creation, described(message_type)))
        if around.is_valid:
            links.append(Link(around))
    else:
        parent = ambient
        if creation is not None:
            links.append(link_to(creation, described(message_type)))
    if polled is not None:
        links.append(Link(polled))
    return parent, tuple(links)


class RetriedAttempt:
    """An attempt under way; its span is current until it ends. Made by `Processing.retry`.

    Neither making nor ending one raises.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        lane: TypedLane,
        context: Context,
        attributes: dict[str, AttributeValue],
    ) -> None:
        self._telemetry = telemetry
        self._span: Span | None = None
        self._token: Token[Context] | None = None
        try:
            if context.get(SUPPRESSED):
                return
            span = self._start(lane, context, attributes)
            self._span = span
            self._token = attach(set_span_in_context(span, context))
        except Exception as fault:
            telemetry.diagnostics.failed("process", fault)

    @property
    def span(self) -> Span | None:
        """Its span; `None` where there is none, or once it has ended."""
        return self._span

    def end(self, error: BaseException | None) -> None:
        """End the attempt as the handler ended."""
        token, self._token = self._token, None
        span, self._span = self._span, None
        try:
            if token is not None:
                detach(token)
            if span is None:
                return
            outcome = OK
            if isinstance(error, Rejected):
                outcome = REJECTED
            elif isinstance(error, Exception):
                outcome = RETRIED
                span.set_attribute(semconv.ERROR_TYPE, semconv.error_type(error))
                span.set_status(Status(StatusCode.ERROR))
            if error is None or isinstance(error, Exception):
                span.set_attribute(semconv.OUTCOME, outcome)
            span.end()
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def _start(
        self, lane: TypedLane, context: Context, attributes: dict[str, AttributeValue]
    ) -> Span:
        spans = self._telemetry.spans
        described: dict[str, AttributeValue] = {
            **lane.attributes,
            semconv.OPERATION_NAME: semconv.RETRY,
            semconv.OPERATION_TYPE: semconv.OPERATION_TYPES[semconv.RETRY],
            **attributes,
        }
        name = semconv.span_name(semconv.RETRY, lane.topic)
        return spans.start(name, context, SpanKind.CONSUMER, described)
