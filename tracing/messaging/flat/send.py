"""A send on the flat path: one object, which is its span where it is recorded.

It does what `tracing.messaging.send` does, for sends about which nothing is unusual. Its values
are the same; most of them are made when the span is read or encoded, if at all.
"""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv
from tracing.core.otlp_wire import SPAN_ATTRIBUTE, IntAttribute, TextAttribute, attribute
from tracing.headers.cloudevents import MAX_VALUE
from tracing.headers.codec import text
from tracing.headers.flow import parse_origin
from tracing.messaging.send import Sending
from tracing.spans.flat import FlatSpan

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable

    from opentelemetry.context import Context

    from tracing.core.semconv import AttributeValue
    from tracing.headers.codec import Header
    from tracing.messaging.flat.send_plan import SendPlan
    from tracing.metrics.instruments import Durations

_UNSEEN: Final = object()
_SENT: Final[list[Header]] = []

_PIPELINE: Final = TextAttribute(semconv.PIPELINE)
_ORIGIN: Final = IntAttribute(semconv.ORIGIN)
_MESSAGE_ID: Final = TextAttribute(semconv.MESSAGE_ID)
_CONVERSATION_ID: Final = TextAttribute(semconv.CONVERSATION_ID)
_PARTITION: Final = TextAttribute(semconv.PARTITION)
_OFFSET: Final = IntAttribute(semconv.OFFSET)


class FlatSending:
    """A send under way, as `Sending`. Exactly one of `acknowledged` and `failed` ends it.

    Attributes:
        headers: The headers to send.
        opened: What it shares with others, when it began by `time.perf_counter`, when its event
            came about, unix ms, where that is known, and what receives the time from there to the
            record's timestamp. One value: each attribute of a span costs more than its content.
    """

    __slots__ = ()

    headers: list[Header]
    opened: tuple[SendPlan, float, int | None, Durations]

    @property
    def span(self) -> FlatSpan | None:
        """The span of the send; `None` where it is not recorded."""
        return None

    def done(self, future: Future[Any]) -> None:
        """End the send as its future ended. As a callback it never raises."""
        try:
            # Future.exception() would also silence asyncio's warning for an error that the
            # application never looks at.
            error = getattr(future, "_exception", _UNSEEN)
            if future.cancelled():
                self.failed(None)
            elif error is None or (error is _UNSEEN and future.exception() is None):
                self.acknowledged(future.result())
            else:
                self.failed(error if isinstance(error, BaseException) else future.exception())
        except Exception as fault:
            self.opened[0].diagnostics.failed("send", fault)

    def acknowledged(self, metadata: Any) -> None:
        """End the send with the broker's acknowledgement; `None` without one (acks=0)."""
        raise NotImplementedError

    def failed(self, error: BaseException | None) -> None:
        """End the send with its error. A cancelled wait is none: the message may be on its way."""
        send, started, _, _ = self.opened
        Sending(send.telemetry, send.typed, self.span, self.headers, started).failed(error)


class SentSpan(FlatSending, FlatSpan):
    """A recorded send, and its span.

    Attributes:
        event: The pipeline and the origin of its flow, as baggage has them, or the origin as a
            number, unix ms; the event's id and subject, as headers have them. `None` where that
            is set on the span already.
        rare: Attributes that few messages have; `None` where it has none of them.
        placed: Partition and offset of the record; `None` until the broker acknowledges it.
    """

    __slots__ = ("event", "headers", "opened", "placed", "rare")

    own_names = frozenset(
        {
            semconv.PIPELINE, semconv.ORIGIN, semconv.MESSAGE_ID, semconv.CONVERSATION_ID,
            semconv.TOMBSTONE, semconv.PARTITION, semconv.OFFSET,
        }
    )  # fmt: skip

    event: tuple[object, object, bytes | None, bytes | None] | None
    rare: dict[str, AttributeValue] | None
    placed: tuple[Any, Any] | None

    @property
    def span(self) -> SentSpan:
        """The span of the send: itself."""
        return self

    def announce(self, start: Callable[[FlatSpan, Context], None], context: Context) -> None:
        """Let processors see the start, where one of them needs it.

        They see what all spans of the plan share. The message's own attributes come after what
        they add, as with any other span.

        Raises whatever a processor raises.
        """
        own = self.own_attributes()
        self.event = self.rare = None
        start(self, context)
        self.enrich(own)

    def acknowledged(self, metadata: Any) -> None:
        """End the send with the broker's acknowledgement; `None` without one (acks=0)."""
        send, started, created_ms, published = self.opened
        try:
            send.record(perf_counter() - started, self)
            send.messages.value += 1
            if metadata is not None:
                if created_ms is not None:
                    publish_ms = metadata.timestamp - created_ms
                    if publish_ms < 0:
                        send.diagnostics.publish_skew.value += 1
                        publish_ms = 0
                    published.record(publish_ms / 1000, self)
                self.placed = (metadata.partition, metadata.offset)
        except Exception as fault:
            send.diagnostics.failed("send", fault)
        self.headers = _SENT
        try:
            self.finish(time_ns())
        except Exception as fault:
            send.diagnostics.failed("send", fault)

    def failed(self, error: BaseException | None) -> None:
        """End the send with its error. A cancelled wait is none: the message may be on its way."""
        super().failed(error)
        self.headers = _SENT

    def own_attributes(self) -> dict[str, AttributeValue]:
        """Describe the flow, the event and what is rare."""
        attributes: dict[str, AttributeValue] = {}
        if self.event is not None:
            pipeline, origin, message_id, subject = self.event
            if isinstance(pipeline, str):
                attributes[semconv.PIPELINE] = pipeline
            if (origin_ms := _origin_ms(origin)) is not None:
                attributes[semconv.ORIGIN] = origin_ms
            if (written := text(message_id, MAX_VALUE)) is not None:
                attributes[semconv.MESSAGE_ID] = written
            if (written := text(subject, MAX_VALUE)) is not None:
                attributes[semconv.CONVERSATION_ID] = written
        if self.rare is not None:
            attributes.update(self.rare)
        return attributes

    def end_attributes(self) -> dict[str, AttributeValue]:
        """Describe where the record is."""
        if self.placed is None:
            return {}
        partition, offset = self.placed
        return {semconv.PARTITION: str(partition), semconv.OFFSET: offset}

    def encode_own(self, fields: list[bytes]) -> None:
        """Append `own_attributes` in OTLP's wire format."""
        if self.event is not None:
            pipeline, origin, message_id, subject = self.event
            if isinstance(pipeline, str):
                _PIPELINE.append(fields, pipeline.encode())
            if (origin_ms := _origin_ms(origin)) is not None:
                _ORIGIN.append(fields, origin_ms)
            if message_id is not None and text(message_id, MAX_VALUE) is not None:
                _MESSAGE_ID.append(fields, message_id)
            if subject is not None and text(subject, MAX_VALUE) is not None:
                _CONVERSATION_ID.append(fields, subject)
        if self.rare is not None:
            rare = self.rare
            if semconv.PARTITION in rare and self.placed is not None:
                rare = {**rare, semconv.PARTITION: str(self.placed[0])}
            for name, value in rare.items():
                fields.append(attribute(SPAN_ATTRIBUTE, name, value))

    def encode_end(self, fields: list[bytes]) -> None:
        """Append `end_attributes` in OTLP's wire format."""
        if self.placed is not None:
            partition, offset = self.placed
            if self.rare is None or semconv.PARTITION not in self.rare:
                _PARTITION.append(fields, str(partition).encode())
            _OFFSET.append(fields, offset)


class UnrecordedSending(FlatSending):
    """A send without a span: its trace is not sampled."""

    __slots__ = ("headers", "opened")

    def acknowledged(self, metadata: Any) -> None:
        """End the send with the broker's acknowledgement; `None` without one (acks=0)."""
        send, started, created_ms, published = self.opened
        try:
            send.record(perf_counter() - started)
            send.messages.value += 1
            if metadata is not None and created_ms is not None:
                publish_ms = metadata.timestamp - created_ms
                if publish_ms < 0:
                    send.diagnostics.publish_skew.value += 1
                    publish_ms = 0
                published.record(publish_ms / 1000)
        except Exception as fault:
            send.diagnostics.failed("send", fault)


def _origin_ms(origin: object) -> int | None:
    return origin if isinstance(origin, int) else parse_origin(origin)
