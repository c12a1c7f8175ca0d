"""Trace context and baggage, in and out of record headers, by the configured propagator.

Where that propagator writes what the W3C codec writes, and reads what it reads, which is checked
once with a probe, the codec does the work on bytes. Any other propagator is called itself.
"""

from collections.abc import Mapping
from typing import Final, Literal, Protocol

from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import (
    Span,
    set_span_in_context,
)

from tracing.core import semconv
from tracing.core.otel_context import BAGGAGE_KEY, FLOW_KEY, SPAN_KEY
from tracing.core.semconv import AttributeValue
from tracing.core.text import is_name
from tracing.headers import w3c
from tracing.headers.boundary import OPEN, Boundary, strictest
from tracing.headers.codec import Header, reversed_pairs, text
from tracing.headers.dead_letter import REPLAY_GROUP
from tracing.headers.flow import (
    EARLIEST_MS,
    MAX_ORIGIN,
    NO_FLOW,
    OriginWindow,
    believed,
    flow_attributes,
    in_flow,
    parse_origin,
)
from tracing.headers.w3c import RemoteSpan

_MAX_FIELD: Final = 8192
_EMPTY: Final = Context()
_MAX_RETRIED: Final = 8


Extracted = tuple[Span | None, Mapping[str, object], Context]
"""The flow in a record's headers.

The span that created the message, `None` when the headers name none; the baggage; and what else
the propagator found, in a context that may or may not hold the other two as well.
"""

_NOTHING: Final[Extracted] = (None, NO_FLOW, _EMPTY)


Invalid = Literal[
    "traceparent", "tracestate", "baggage", "propagator", "origin", "pipeline", "caller"
]
"""The parts of a context that can be present and unusable."""


class ContextDiagnostics(Protocol):
    """Counts the parts of a context that were not used. Never raises."""

    def invalid(self, reason: Invalid, number: int = 1) -> None:
        """Count a header, or a part of one, that was there and could not be used."""

    def dropped(self, reason: Literal["baggage"], number: int = 1) -> None:
        """Count entries that did not fit."""


class Propagation:
    """Writes and reads the context headers of one telemetry. Total: never raises, bounded work.

    Safe to use from any task; options are resolved in the constructor.

    Attributes:
        fields: The names of the headers that it writes or reads.
        is_w3c: Whether the codec does the work, and not the propagator itself.
    """

    def __init__(
        self,
        propagator: TextMapPropagator,
        *,
        pipeline: str,
        boundaries: Mapping[str, Boundary],
        window: OriginWindow,
        diagnostics: ContextDiagnostics,
        fast: bool = True,
    ) -> None:
        self._propagator = propagator
        self._window = window
        self._pipeline = pipeline
        self._ours = w3c.format_baggage({semconv.PIPELINE: pipeline, semconv.ORIGIN: ""})[0]
        self._boundaries = dict(boundaries)
        self._strictest = strictest(tuple(self._boundaries.values()))
        self._diagnostics = diagnostics
        self.is_w3c: Final = fast and w3c.speaks_w3c(propagator)
        self.fields: Final = frozenset(propagator.fields) | w3c.FIELDS

    def has_boundary(self, topic: str) -> bool:
        """Return whether not all context may cross a topic."""
        return topic in self._boundaries

    def flow(self, context: Context, now_ms: int) -> Mapping[str, object]:
        """Return the baggage to send: the context's own, or that of a flow that begins now."""
        return self._begun(believed(context)[0], now_ms)

    def _begun(self, entries: Mapping[str, object], now_ms: int) -> Mapping[str, object]:
        if semconv.ORIGIN in entries:
            return entries
        # These first, so that they are never the ones that do not fit.
        return {semconv.PIPELINE: self._pipeline, semconv.ORIGIN: str(now_ms), **entries}

    def _sent(self, context: Context, now_ms: int) -> Mapping[str, object]:
        entries, ignored = believed(context)
        if ignored:
            self._diagnostics.invalid("caller", ignored)
        return self._begun(entries, now_ms)

    def inject(
        self,
        headers: list[Header],
        span: Span | bytes,
        context: Context,
        topic: str | None,
        now_ms: int,
    ) -> None:
        """Add the headers of a message created by `span`.

        Args:
            headers: Where to add them; it holds none of `fields` yet.
            span: The message's creation context; an unrecorded one may be replaced by its
                `traceparent`.
            context: Where the baggage is, and what else other propagators than W3C's carry.
            topic: Where the message goes; `None` when that is not known yet, as in a batch: then
                only what may cross every boundary goes along.
            now_ms: The origin of the flow, unix ms, if it begins here.
        """
        boundary = self._strictest if topic is None else self._boundaries.get(topic)
        if not self.is_w3c:
            flow = self._sent(context, now_ms)
            entries = flow if boundary is None else boundary.allowed(flow)
            creation = RemoteSpan(span, None) if isinstance(span, bytes) else span
            context = set_span_in_context(creation, context)
            headers += self._inject_generally(context, entries, boundary or OPEN)
            return
        if boundary is None or boundary.trace_context:
            if isinstance(span, bytes):
                headers.append((w3c.TRACEPARENT, span))
            elif isinstance(span, RemoteSpan) and span.plain:
                headers.append((w3c.TRACEPARENT, span.traceparent))
            elif (created := span.get_span_context()).is_valid:
                headers.append((w3c.TRACEPARENT, w3c.format_traceparent(created)))
                if created.trace_state:
                    headers.append((w3c.TRACESTATE, created.trace_state.to_header().encode()))
        written = self._baggage(context, boundary, now_ms)
        if written:
            headers.append((w3c.BAGGAGE, written))

    def described(self, context: Context, now_ms: int) -> dict[str, AttributeValue]:
        """Describe the flow that a message sent now belongs to, as span attributes."""
        if BAGGAGE_KEY not in context:
            return {semconv.PIPELINE: self._pipeline, semconv.ORIGIN: now_ms}
        return flow_attributes(self.flow(context, now_ms))

    def _baggage(self, context: Context, boundary: Boundary | None, now_ms: int) -> bytes:
        if boundary is None:
            return self.flow_sent(context, now_ms)[0]
        return self._written(boundary.allowed(self._sent(context, now_ms)))

    def begun(self, origin: int) -> bytes:
        """Return the baggage header of a message that begins a flow; it ends with the origin."""
        return b"%b%d" % (self._ours, origin)

    def flow_sent(self, context: Context, now_ms: int) -> tuple[bytes, Mapping[str, object]]:
        """Return the baggage header of a message to a topic without a boundary, and its flow.

        What is left out of it is counted. It is for the W3C codec alone.
        """
        # Nearly all baggage in a pipeline is its name and its origin, which need no general codec.
        entries = context.get(BAGGAGE_KEY)
        if not entries:
            return self.begun(now_ms), self._begun(NO_FLOW, now_ms)
        if (
            isinstance(entries, Mapping)
            and len(entries) == 2  # noqa: PLR2004 - these two
            and entries is context.get(FLOW_KEY)
            and entries.get(semconv.PIPELINE) == self._pipeline
        ):
            origin = entries.get(semconv.ORIGIN)
            if isinstance(origin, str) and origin.isascii() and origin.isdigit():
                return self._ours + origin.encode(), entries
        flow = self._sent(context, now_ms)
        return self._written(flow), flow

    def _written(self, flow: Mapping[str, object]) -> bytes:
        written, dropped = w3c.format_baggage(flow)
        if dropped:
            self._diagnostics.dropped("baggage", dropped)
        return written

    def extract(
        self, headers: object, present: Mapping[str, object], topic: str, written_ms: object = None
    ) -> Extracted:
        """Read what a record carries.

        Args:
            headers: The record's.
            present: `latest(headers)`.
            topic: Where the record is.
            written_ms: The record's timestamp, unix ms, by which its flow's origin is judged;
                now, where it has none.
        """
        boundary = self._boundaries.get(topic)
        try:
            if not self.is_w3c:
                creation, flow, other = self._extract_generally(present, boundary or OPEN)
                return creation, self._plausible(dict(flow), present, written_ms), other
        except Exception:
            self._diagnostics.invalid("propagator")
            return _NOTHING
        created = self._creation(headers, present, boundary)
        written = present.get(w3c.BAGGAGE)
        if written is None:
            return created, NO_FLOW, _EMPTY
        ordinary = None if boundary is not None else self.ordinary_flow(written, written_ms)
        if ordinary is not None:
            return created, ordinary, _EMPTY
        return (
            created,
            self._plausible(self._entries(written, boundary), present, written_ms),
            _EMPTY,
        )

    def ordinary_flow(self, written: object, written_ms: object = None) -> dict[str, object] | None:
        """Read baggage that is this pipeline's name and a plausible origin; nothing is counted.

        Args:
            written: A record's baggage header.
            written_ms: The record's timestamp, unix ms; now, where it has none.

        Returns:
            The flow; `None` for any other baggage.
        """
        # Nearly all baggage in a pipeline is this, which needs no general codec.
        if not isinstance(written, bytes) or not written.startswith(self._ours):
            return None
        origin = written[len(self._ours) :]
        if not origin.isdigit() or len(origin) > MAX_ORIGIN:
            return None
        if not self._window.holds(int(origin), written_ms):
            return None
        return {semconv.PIPELINE: self._pipeline, semconv.ORIGIN: origin.decode()}

    def creation(self, headers: object, present: Mapping[str, object], topic: str) -> Span | None:
        """Read only the span that created a record; `present` is `latest(headers)`."""
        boundary = self._boundaries.get(topic)
        if self.is_w3c:
            return self._creation(headers, present, boundary)
        try:
            return self._extract_generally(present, boundary or OPEN)[0]
        except Exception:
            self._diagnostics.invalid("propagator")
            return None

    def _plausible(
        self, entries: dict[str, object], present: Mapping[str, object], written_ms: object
    ) -> dict[str, object]:
        """Remove from a record's baggage what cannot be true of a flow."""
        if semconv.ORIGIN in entries:
            origin = parse_origin(entries[semconv.ORIGIN])
            if origin is None or not self._window.holds(origin, written_ms):
                del entries[semconv.ORIGIN]
                # Replays are late by their nature, and no fault.
                late = origin is not None and self._window.holds(origin, max(origin, EARLIEST_MS))
                if not (late and REPLAY_GROUP in present):
                    self._diagnostics.invalid("origin")
        if semconv.PIPELINE in entries and not is_name(entries[semconv.PIPELINE]):
            del entries[semconv.PIPELINE]
            self._diagnostics.invalid("pipeline")
        return entries

    def _entries(self, value: object, boundary: Boundary | None) -> dict[str, object]:
        parsed = w3c.parse_baggage(value)
        if parsed is None:
            self._diagnostics.invalid("baggage")
            return {}
        return dict(parsed if boundary is None else boundary.allowed(parsed))

    def _creation(
        self, headers: object, present: Mapping[str, object], boundary: Boundary | None
    ) -> RemoteSpan | None:
        if w3c.TRACEPARENT not in present or not (boundary is None or boundary.trace_context):
            return None
        state = present.get(w3c.TRACESTATE)
        if state is not None:
            usable = w3c.usable_tracestate(state)
            if usable != state:
                self._diagnostics.invalid("tracestate")
            state = usable
        creation = w3c.parse_traceparent(present[w3c.TRACEPARENT], state)
        if creation is not None:
            return creation
        self._diagnostics.invalid("traceparent")
        earlier = (value for name, value in reversed_pairs(headers) if name == w3c.TRACEPARENT)
        for _, candidate in zip(range(_MAX_RETRIED), earlier, strict=False):
            creation = w3c.parse_traceparent(candidate, state)
            if creation is not None:
                return creation
        return None

    def _inject_generally(
        self, context: Context, entries: Mapping[str, object], boundary: Boundary
    ) -> list[Header]:
        context = baggage.clear(context)
        for name, value in entries.items():
            context = baggage.set_baggage(name, value, context)
        if not boundary.trace_context:
            context = set_span_in_context(trace.INVALID_SPAN, context)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context)
        return [(name, value.encode()) for name, value in carrier.items()]

    def _extract_generally(self, present: Mapping[str, object], boundary: Boundary) -> Extracted:
        carrier = {
            name: content
            for name in self.fields
            if (content := text(present.get(name), _MAX_FIELD)) is not None
        }
        if (state := carrier.pop(w3c.TRACESTATE, None)) is not None:
            usable = w3c.usable_tracestate(state.encode())
            if usable is not None:
                carrier[w3c.TRACESTATE] = usable.decode()
        context = self._propagator.extract(carrier, _EMPTY)
        span = trace.get_current_span(context)
        creation = span if span.get_span_context().is_valid and boundary.trace_context else None
        return creation, boundary.allowed(baggage.get_all(context)), context


def continuing(extracted: Extracted) -> Context:
    """Make the context in which a message continues its flow; a new trace where it has none."""
    creation, flow, other = extracted
    return Context({**other, **in_flow(flow), SPAN_KEY: creation or trace.INVALID_SPAN})
