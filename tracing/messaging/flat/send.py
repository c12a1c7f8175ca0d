"""A send on the flat path: one object, which is its span where it is recorded.

It does what `tracing.messaging.send` does, for sends about which nothing is unusual. Its values
are the same; most of them are made when the span is read or encoded, if at all.
"""

from __future__ import annotations

from asyncio import CancelledError
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final

from tracing.messaging.flat.send_content import SendContent
from tracing.messaging.send import SENT, Sending

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable
    from contextvars import Context as TaskContext

    from opentelemetry.context import Context

    from tracing.headers.codec import Header
    from tracing.messaging.flat.send_plan import SendPlan
    from tracing.metrics.instruments import Durations
    from tracing.spans.flat import FlatSpan

_UNSEEN: Final = object()


class FlatSending:
    """A send under way, as `Sending`. Exactly one of `acknowledged` and `failed` ends it.

    Attributes:
        headers: The headers to send.
        send: What it shares with others.
        sent_in: The context that was current where it began; `None` once it has ended.
        ends_in: In which variables `done` may be called; `None` for those of the sender, where it
            calls processors of the user's own.
        started: When it began, by `time.perf_counter`.
        created_ms: When the event came about, unix ms, where that is known.
        published: Receives the time from there to the record's timestamp.
    """

    __slots__ = ()

    headers: list[Header]
    send: SendPlan
    sent_in: Context | None
    ends_in: TaskContext | None
    started: float
    created_ms: int | None
    published: Durations

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
            if error is _UNSEEN and not future.cancelled():
                error = future.exception()
            if error is None or error is _UNSEEN:
                try:
                    metadata = future.result()
                except CancelledError:
                    self.failed(None)
                    return
                self.acknowledged(metadata)
            else:
                self.failed(error if isinstance(error, BaseException) else future.exception())
        except Exception as fault:
            self.send.diagnostics.failed("send", fault)

    __call__ = done
    """The send is its own callback: a bound method is one more object for the garbage collector."""

    def acknowledged(self, metadata: Any) -> None:
        """End the send with the broker's acknowledgement; `None` without one (acks=0)."""
        raise NotImplementedError

    def failed(self, error: BaseException | None) -> None:
        """End the send with its error. A cancelled wait is none: the message may be on its way."""
        send = self.send
        general = Sending(send.telemetry, send.typed, self.span, self.headers, self.started)
        general.sent_in = self.sent_in
        general.failed(error)


class SentSpan(FlatSending, SendContent):
    """A recorded send, and its span."""

    if not TYPE_CHECKING:
        __slots__ = ("created_ms", "ends_in", "headers", "published", "sent_in", "started")

    @property
    def span(self) -> SentSpan:
        """The span of the send: itself."""
        return self

    def __call__(self, future: Future[Any]) -> None:
        """End the send as asyncio's own future ended. As a callback it never raises."""
        # Of one that has no result, the questions are those of `done`.
        metadata = getattr(future, "_result", None)
        if metadata is None:
            self.done(future)
        else:
            self.acknowledged(metadata)

    def announce(self, start: Callable[[FlatSpan, Context], None], context: Context) -> None:
        """Let processors see the start, where one of them needs it.

        They see what all spans of the plan share. The message's own attributes come after what
        they add, as with any other span.

        Raises whatever a processor raises.
        """
        own = self.own_attributes()
        self.pipeline = self.origin = self.message_id = self.subject = self.rare = None
        start(self, context)
        self.enrich(own)

    def acknowledged(self, metadata: Any) -> None:
        """End the send with the broker's acknowledgement; `None` without one (acks=0)."""
        send = self.send
        try:
            elapsed, durations = perf_counter() - self.started, send.durations
            if durations.later is not None and durations.low < elapsed <= durations.high:
                durations.later(elapsed)
            else:
                durations.record(elapsed, self)
            send.messages.value += 1
            if metadata is not None:
                if self.created_ms is not None:
                    publish_s = (metadata.timestamp - self.created_ms) / 1000
                    if publish_s < 0:
                        send.diagnostics.publish_skew.value += 1
                        publish_s = 0.0
                    published = self.published
                    if published.later is not None and published.low < publish_s <= published.high:
                        published.later(publish_s)
                    else:
                        published.record(publish_s, self)
                self.placed = (metadata.partition, metadata.offset)
        except Exception as fault:
            send.diagnostics.failed("send", fault)
        self.headers, self.sent_in = SENT, None
        try:
            if self._end_time is None and not self._built:
                # As `finish`, which is for all others.
                self._end_time = time_ns()
                self._hand_over.end(self)
            else:
                self.finish(time_ns())
        except Exception as fault:
            send.diagnostics.failed("send", fault)

    def failed(self, error: BaseException | None) -> None:
        """End the send with its error. A cancelled wait is none: the message may be on its way."""
        super().failed(error)
        self.headers, self.sent_in = SENT, None


class UnrecordedSending(FlatSending):
    """A send without a span: its trace is not sampled."""

    __slots__ = ("created_ms", "ends_in", "headers", "published", "send", "sent_in", "started")

    def __call__(self, future: Future[Any]) -> None:
        """End the send as asyncio's own future ended. As a callback it never raises."""
        # Of one that has no result, the questions are those of `done`.
        metadata = getattr(future, "_result", None)
        if metadata is None:
            self.done(future)
            return
        # As `acknowledged`: calls cost more.
        send = self.send
        try:
            durations = send.durations
            (durations.later or durations.record)(perf_counter() - self.started)
            send.messages.value += 1
            if self.created_ms is not None:
                publish_s = (metadata.timestamp - self.created_ms) / 1000
                if publish_s < 0:
                    send.diagnostics.publish_skew.value += 1
                    publish_s = 0.0
                published = self.published
                (published.later or published.record)(publish_s)
        except Exception as fault:
            send.diagnostics.failed("send", fault)

    def acknowledged(self, metadata: Any) -> None:
        """End the send with the broker's acknowledgement; `None` without one (acks=0)."""
        send = self.send
        try:
            durations = send.durations
            (durations.later or durations.record)(perf_counter() - self.started)
            send.messages.value += 1
            if metadata is not None and self.created_ms is not None:
                publish_s = (metadata.timestamp - self.created_ms) / 1000
                if publish_s < 0:
                    send.diagnostics.publish_skew.value += 1
                    publish_s = 0.0
                published = self.published
                (published.later or published.record)(publish_s)
        except Exception as fault:
            send.diagnostics.failed("send", fault)
