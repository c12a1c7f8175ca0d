"""The two kinds of flat handlings: a process span, and the sender's span where none is recorded."""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.otlp_wire import (
    SPAN_ATTRIBUTE,
    DoubleAttribute,
    IntAttribute,
    TextAttribute,
    attribute,
)
from tracing.headers import cloudevents
from tracing.headers.codec import text
from tracing.headers.flow import NO_FLOW
from tracing.headers.w3c import RemoteSpan
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.flat.processing import general_of
from tracing.messaging.message_type import described
from tracing.messaging.outcome import OK
from tracing.spans.flat import FlatSpan
from tracing.spans.light_values import updated

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span
    from opentelemetry.trace import Link, SpanContext

    from tracing.core.semconv import AttributeValue
    from tracing.messaging.flat.process_plan import ProcessPlan

_ID: Final = TextAttribute(semconv.MESSAGE_ID)
_SUBJECT: Final = TextAttribute(semconv.CONVERSATION_ID)
_OFFSET: Final = IntAttribute(semconv.OFFSET)
_PIPELINE: Final = TextAttribute(semconv.PIPELINE)
_ORIGIN: Final = IntAttribute(semconv.ORIGIN)
_WAIT: Final = DoubleAttribute(semconv.WAIT)
_PUBLISH: Final = DoubleAttribute(semconv.PUBLISH)
_TYPE: Final = TextAttribute(semconv.EVENT_TYPE)
_TOMBSTONE: Final = attribute(SPAN_ATTRIBUTE, semconv.TOMBSTONE, True)
_END_TO_END: Final = DoubleAttribute(semconv.END_TO_END)
_OK: Final = attribute(SPAN_ATTRIBUTE, semconv.OUTCOME, OK)


class ProcessSpan(FlatHandling, FlatSpan):
    """The handling of a sampled record, and its process span. For the task that handles it.

    Attributes:
        event_id: The header of the event's id; `None` without one.
        subject: The header of its subject.
        created: The header of its creation.
        offset: The record's offset.
        timestamp: Its timestamp, unix ms.
        tombstone: Whether it has no value.
        pipeline: The name of its flow; `None` without one.
        ended_well: Whether the handling has ended with the outcome `ok`.
        mixed_type: The header of its type, if its plan is for several; else `None`.
        early: What processors set on the span at its start, before all else; else `None`.
        starting: Whether processors see it at its start, without the message's own attributes.
    """

    if not TYPE_CHECKING:
        __slots__ = (
            "arrival", "baggage", "created", "ended_well", "entered", "event_id", "flow", "offset",
            "origin_ms", "pipeline", "started", "subject", "timestamp", "token", "tombstone",
            "view",
        )  # fmt: skip

    plan: ProcessPlan
    event_id: object
    subject: object
    created: object
    offset: int
    timestamp: int
    tombstone: bool
    pipeline: str | None
    ended_well: bool
    mixed_type: bytes | None = None
    early: dict[str, AttributeValue] | None = None
    starting: bool = False

    recorded = True
    own_names = frozenset(
        {
            semconv.MESSAGE_ID, semconv.CONVERSATION_ID, semconv.OFFSET, semconv.PIPELINE,
            semconv.ORIGIN, semconv.WAIT, semconv.PUBLISH, semconv.TOMBSTONE, semconv.END_TO_END,
            semconv.OUTCOME, semconv.EVENT_TYPE,
        }
    )  # fmt: skip

    def end_handling(  # noqa: C901, PLR0912 - calls cost more
        self, error: BaseException | None = None
    ) -> None:
        """End the handling with its outcome, and the span with it. Never raises."""
        # Without a view there is no general handling either.
        if error is not None or (self.view is not None and self.general is not None):
            general_of(self).end(error)
            return
        duration = perf_counter() - self.started
        end_ns = time_ns()
        plan = self.plan
        token = self.token
        if token is not None:
            current = plan.current
            if current.get() is self.entered:
                try:
                    current.reset(token)
                except ValueError:
                    # It ends in another task, whose context is not ours to change.
                    self.token = None
                self.token = self.entered = None
            else:
                self.detach(current)
        self.view = None
        try:
            series = plan.succeeded
            if series.later is not None and series.low < duration <= series.high:
                series.later(duration)
            else:
                series.record(duration, self)
            origin_ms = self.origin_ms
            if origin_ms is not None:
                lag_ms = end_ns // 1_000_000 - origin_ms
                if lag_ms < 0:
                    plan.telemetry.diagnostics.origin_skew.value += 1
                    lag_ms = 0
                lag_s, series = lag_ms / 1000, self.arrival.end_to_end
                if series.later is not None and series.low < lag_s <= series.high:
                    series.later(lag_s)
                else:
                    series.record(lag_s, self)
            self.flow, self.baggage = NO_FLOW, None
            if self._end_time is None and not self._built:
                # As `finish`, which is for all others.
                self.ended_well = True
                self._end_time = end_ns
                self._hand_over.end(self)
            else:
                # The application may have ended the span before.
                self.ended_well = self._end_time is None
                self.finish(end_ns)
        except Exception as fault:
            plan.telemetry.diagnostics.failed("process", fault)

    def link_only(self, links: tuple[Link, ...]) -> None:
        """Give the span these links, which others may share; it has none yet."""
        self.added_links = links
        self.touched = True

    def announce(self, start: Callable[[Span, Context], None], parent: Context) -> None:
        """Show the span to processors at its start; what they set comes before its own attributes.

        Args:
            start: Calls the processors.
            parent: The context that holds the span's parent.
        """
        self.starting = True
        try:
            start(self, parent)
        finally:
            self.starting = False
        if self._built:
            self.set_attributes(self.own_attributes())
        elif self.added is not None:
            self.early, self.added = self.added, None

    def own_attributes(self) -> dict[str, AttributeValue]:
        """Return the message's own attributes, in the order of the general code."""
        if self.starting:
            return {}
        attributes: dict[str, AttributeValue] = {}
        if (event_id := text(self.event_id, cloudevents.MAX_VALUE)) is not None:
            attributes[semconv.MESSAGE_ID] = event_id
        if (subject := text(self.subject, cloudevents.MAX_VALUE)) is not None:
            attributes[semconv.CONVERSATION_ID] = subject
        attributes[semconv.OFFSET] = self.offset
        if self.pipeline is not None:
            attributes[semconv.PIPELINE] = self.pipeline
        if self.origin_ms is not None:
            attributes[semconv.ORIGIN] = self.origin_ms
        attributes[semconv.WAIT] = self._wait_s()
        if (publish_s := self._publish_s()) is not None:
            attributes[semconv.PUBLISH] = publish_s
        attributes |= described(self.mixed_type)
        if self.tombstone:
            attributes[semconv.TOMBSTONE] = True
        return attributes if self.early is None else updated({**self.early}, attributes)

    def end_attributes(self) -> dict[str, AttributeValue]:
        """Return what became known at the end; empty before, and where the general code ended."""
        if not self.ended_well:
            return {}
        attributes: dict[str, AttributeValue] = {}
        if self.origin_ms is not None:
            attributes[semconv.END_TO_END] = self._lag_s(self.origin_ms)
        attributes[semconv.OUTCOME] = OK
        return attributes

    def encode_own(self, fields: list[bytes]) -> None:
        """Append `own_attributes` as attributes of a span in OTLP's wire format."""
        if self.early is not None:
            fields += (attribute(SPAN_ATTRIBUTE, *each) for each in self.own_attributes().items())
            return
        if (event_id := _utf8(self.event_id)) is not None:
            _ID.append(fields, event_id)
        if (subject := _utf8(self.subject)) is not None:
            _SUBJECT.append(fields, subject)
        _OFFSET.append(fields, self.offset)
        if self.pipeline is not None:
            _PIPELINE.append(fields, self.pipeline.encode())
        if self.origin_ms is not None:
            _ORIGIN.append(fields, self.origin_ms)
        _WAIT.append(fields, self._wait_s())
        if (publish_s := self._publish_s()) is not None:
            _PUBLISH.append(fields, publish_s)
        if self.mixed_type is not None:
            _TYPE.append(fields, self.mixed_type)
        if self.tombstone:
            fields.append(_TOMBSTONE)

    def encode_end(self, fields: list[bytes]) -> None:
        """Append `end_attributes` as attributes of a span in OTLP's wire format."""
        if not self.ended_well:
            return
        if self.origin_ms is not None:
            _END_TO_END.append(fields, self._lag_s(self.origin_ms))
        fields.append(_OK)

    def _wait_s(self) -> float:
        return max(0, self.start_ns // 1_000_000 - self.timestamp) / 1000

    def _publish_s(self) -> float | None:
        created_ms = cloudevents.time_ms(self.created)
        if created_ms is None:
            return None
        now_ms, window = self.start_ns // 1_000_000, self.plan.telemetry.window
        if not window.holds(created_ms, self.timestamp, now_ms):
            return None
        return max(0, self.timestamp - created_ms) / 1000

    def _lag_s(self, origin_ms: int) -> float:
        return max(0, (self.end_ns or 0) // 1_000_000 - origin_ms) / 1000


def _utf8(header: object) -> bytes | None:
    """Return a header that is a text within bounds, as `text` decodes it; else `None`."""
    if type(header) is bytes and len(header) <= cloudevents.MAX_VALUE and header.isascii():
        return header
    return header if text(header, cloudevents.MAX_VALUE) is not None else None  # type: ignore[return-value]  # bytes


class UnrecordedProcess(FlatHandling, RemoteSpan):
    """The handling of a record that is not sampled, and the span of its sender.

    There is no span of its own: the sender's is current in the handler, and what the handler sends
    continues from it. For the task that handles the record.
    """

    if not TYPE_CHECKING:
        __slots__ = (
            "arrival", "baggage", "entered", "flow", "origin_ms", "plan", "started", "token",
            "traceparent", "view",
        )  # fmt: skip

    recorded = False
    sampled = False
    # Of `RemoteSpan`, whose constructor does not run.
    # Nothing runs: all slots are filled afterwards.
    __init__ = object.__init__
    _state: object = None
    _parsed: SpanContext | None = None

    def end_handling(self, error: BaseException | None = None) -> None:
        """End the handling with its outcome. Never raises."""
        # Without a view there is no general handling either.
        if error is not None or (self.view is not None and self.general is not None):
            general_of(self).end(error)
            return
        duration = perf_counter() - self.started
        plan = self.plan
        token = self.token
        if token is not None:
            current = plan.current
            if current.get() is self.entered:
                try:
                    current.reset(token)
                except ValueError:
                    # It ends in another task, whose context is not ours to change.
                    self.token = None
                self.token = self.entered = None
            else:
                self.detach(current)
        self.view = None
        try:
            series = plan.succeeded
            if series.later is None:
                series.record(duration)
            else:
                series.later(duration)
            origin_ms = self.origin_ms
            if origin_ms is not None:
                lag_ms = time_ns() // 1_000_000 - origin_ms
                if lag_ms < 0:
                    plan.telemetry.diagnostics.origin_skew.value += 1
                    lag_ms = 0
                series = self.arrival.end_to_end
                if series.later is None:
                    series.record(lag_ms / 1000, self)
                else:
                    series.later(lag_ms / 1000)
        except Exception as fault:
            plan.telemetry.diagnostics.failed("process", fault)
