"""The start of flat sends: what is unusual about one, and what its span and headers begin with."""

from __future__ import annotations

from functools import partial
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.context import Context
from opentelemetry.trace import Span

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.core.ids import random_id
from tracing.core.otel_context import BAGGAGE_KEY, PROCESSING_KEY, SPAN_KEY, SUPPRESSED
from tracing.headers.cloudevents import ID, MAX_VALUE, SUBJECT, TIME, time_header
from tracing.headers.w3c import BAGGAGE, TRACEPARENT, RemoteSpan, format_traceparent
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.flat.send import SentSpan, UnrecordedSending
from tracing.messaging.flat.send_plan import TopicPlan, Unusual, forwarded, stored
from tracing.spans.flat import FlatSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracing.core.semconv import AttributeValue
    from tracing.headers.codec import Header
    from tracing.messaging.destination import Destination
    from tracing.messaging.flat.engine import Engine
    from tracing.messaging.flat.send import FlatSending
    from tracing.messaging.send import Sending
    from tracing.telemetry import Telemetry

    General = Callable[[str, object, object, object, list[Header]], Sending | None]

_NONE: Final[Mapping[str, bytes | None]] = {}
_MAX_KINDS: Final = 64
_SAMPLED: Final = 0x01
_RANDOM: Final = 0x02

_EMPTY: Final = Context()
_new: Final = object.__new__


class FlatSends:
    """Begins the sends of one producer. For one event loop.

    Args:
        engine: The telemetry's.
        telemetry: What the service's clients share.
        destinations: The values that sends to a topic share, by topic.
        general: Begins a send in the general way; it takes topic, value, key, partition and
            headers, and never raises.
    """

    __slots__ = (
        "_current", "_engine", "_flat_kinds", "_general", "_moment", "_other_kinds", "_recorded",
        "_spans", "_telemetry", "_topics",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        telemetry: Telemetry,
        destinations: Mapping[str, Destination],
        general: General,
    ) -> None:
        self._current = engine.current.get
        self._engine = engine
        self._general = general
        # The classes of the spans that were current at sends: asking one with `isinstance` costs
        # more than the rest that is to be known of it.
        self._flat_kinds: set[type] = set()
        self._other_kinds: dict[type, type] = {}
        # What root messages of one millisecond share: the moment, the time and the baggage.
        self._moment: tuple[int, Header, Header] = (0, (TIME, b""), (BAGGAGE, b""))
        self._recorded = engine.spans.kind(SentSpan)
        self._spans = engine.spans
        self._telemetry = telemetry
        self._topics: BoundedDict[str, TopicPlan | None] = BoundedDict(
            partial(_topic_plan, telemetry, destinations)
        )

    def begin(
        self, topic: str, value: object, key: object, partition: object, headers: list[Header]
    ) -> Sending | FlatSending | None:
        """Begin a send: its span and the headers to send. Never raises.

        Args:
            topic: Where the record goes.
            value: Its value.
            key: Its key.
            partition: Its partition, where the application chose one.
            headers: The application's headers, in a list of our own.

        Returns:
            What ends the send; `None` where it has no telemetry.
        """
        try:
            return self._begun(topic, value, partition, headers)
        except Unusual as unusual:
            self._engine.fallbacks[unusual.reason] += 1
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
            return None
        return self._general(topic, value, key, partition, headers)

    def _begun(  # noqa: C901, PLR0912, PLR0915 - what most sends need, without a call for each part
        self, topic: str, value: object, partition: object, headers: list[Header]
    ) -> FlatSending:
        context = self._current()
        # First of all: what is not measured has no series.
        if context and context.get(SUPPRESSED):
            raise Unusual("suppressed")
        topic_plan = self._topics[topic]
        if topic_plan is None:
            raise Unusual("topic")
        telemetry, spans = self._telemetry, self._spans
        if telemetry.describe_schema is not None:
            raise Unusual("schema")
        shape = None
        if headers:
            present, shape, send = topic_plan.read(headers)
        else:
            present, send = _NONE, topic_plan.plain or topic_plan.assumed()
        if send is None:
            raise Unusual("record")

        continues = shape is not None and shape.has_context
        if continues and not context:
            context, headers = stored(telemetry.propagation, headers, present)
            continues = False
        current = cast("Any", context.get(SPAN_KEY))
        if type(current) in self._flat_kinds:
            above, remote, sampled = current.traceparent, False, True
            traceparent = spans.child(above)
        elif current is None and spans.samples_roots:
            above, remote, sampled = None, False, True
            traceparent = spans.root()
        else:
            above, remote, sampled, traceparent = self._below(current)
        if traceparent is None:
            raise Unusual("tracer")
        if continues:
            headers = forwarded(headers, present, current)

        # From here on there are side effects.
        self._engine.taken["send"] += 1
        now_ns = time_ns()
        now_ms = now_ns // 1_000_000
        moment_ms, time, baggage = self._moment
        if moment_ms != now_ms:
            time, baggage = self._moment_at(now_ms)
        pipeline: object = telemetry.pipeline
        origin: object = now_ms
        published = topic_plan.begun or topic_plan.published()
        if context and (entries := context.get(BAGGAGE_KEY)):
            handling = context.get(PROCESSING_KEY)
            if isinstance(handling, FlatHandling) and entries is handling.flow and handling.baggage:
                written, flow = handling.baggage, handling.flow
            else:
                written, flow = telemetry.propagation.flow_sent(context, now_ms)
            baggage = (BAGGAGE, written)
            pipeline, origin = flow.get(semconv.PIPELINE), flow.get(semconv.ORIGIN)
            published = topic_plan.destination.publications.of(flow)
        made = subject = None
        created_ms: int | None = now_ms
        added: list[Header]
        if shape is not None:
            made, subject = present.get(ID), present.get(SUBJECT)
            added = []
            if shape.needs_id:
                made = random_id()
                added.append((ID, made))
            if shape.needs_time:
                added.append(time)
            added += (*shape.constant, (TRACEPARENT, traceparent), baggage)
            if shape.has_time:
                created_ms = telemetry.created_ms(present)
        elif telemetry.cloudevents:
            made = random_id()
            added = [(ID, made), time, *topic_plan.constant, (TRACEPARENT, traceparent), baggage]
        else:
            added = [(TRACEPARENT, traceparent), baggage]

        sending: Any
        if sampled:
            sending = span = _new(self._recorded)
            plan = send.span_plan
            span.plan = plan if plan.attributes is send.typed.attributes else send.renewed()
            span.traceparent = traceparent
            span.above = above
            span.above_is_remote = remote
            span.start_ns = now_ns
            span.end_ns = None
            span.added = None
            if shape is not None:
                made, subject = _short(made), _short(subject)
            span.pipeline = pipeline
            span.origin = origin
            span.message_id = made
            span.subject = subject
            span.rare = span.placed = None
            if value is None or partition is not None:
                span.rare = _rare(value, partition)
            if (start := spans.hand_over.start) is not None:
                span.announce(start, context)
        else:
            sending = _new(UnrecordedSending)
        if headers:
            headers += added
            sending.headers = headers
        else:
            sending.headers = added
        sending.send = send
        sending.created_ms = created_ms
        sending.published = published
        sending.started = perf_counter()
        return sending  # type: ignore[no-any-return]  # one of two classes

    def _below(self, current: Any) -> tuple[bytes | None, bool, bool, bytes | None]:
        """Return what begins below a span that is not flat, or below none.

        Returns:
            Its `traceparent`, whether it is remote, whether the send is recorded, and the
            `traceparent` of the send: `None` where the tracer is switched off.
        """
        spans = self._spans
        if current is None:
            return self._root()
        kind = self._other_kinds.get(type(current)) or self._kind_of(current)
        if kind is FlatSpan and spans.samples_local:
            above = current.traceparent
            return above, False, True, spans.child(above)
        if kind is RemoteSpan and current.plain:
            above = current.traceparent
            if not current.sampled and spans.drops_unsampled:
                return above, True, False, above
            if current.sampled and spans.samples_remote:
                return above, True, True, spans.child(above)
        elif kind is Span:
            return self._below_other(current)
        raise Unusual("parent")

    def _below_other(self, current: Span) -> tuple[bytes | None, bool, bool, bytes | None]:
        """Return what begins below a span of the application."""
        spans = self._spans
        context = current.get_span_context()
        if not context.is_valid:
            return self._root()
        remote = context.is_remote
        above = format_traceparent(context)
        if not context.trace_state:
            if not context.trace_flags & _SAMPLED:
                if spans.drops_unsampled:
                    child = spans.child(above)
                    # The SDK makes an id for a span that it drops.
                    random = b"02" if context.trace_flags & _RANDOM else b"00"
                    return above, remote, False, child and child[:53] + random
            elif spans.samples_remote if remote else spans.samples_local:
                return above, remote, True, spans.child(above)
        raise Unusual("parent")

    def _root(self) -> tuple[bytes | None, bool, bool, bytes | None]:
        spans = self._spans
        if spans.samples_roots:
            return None, False, True, spans.root()
        if spans.drops_roots:
            return None, False, False, self._telemetry.spans.dropped_root()
        if spans.ratio_bound is not None:
            return None, False, *spans.root_by_ratio(spans.ratio_bound)
        raise Unusual("parent")

    def _kind_of(self, current: object) -> type:
        """Return how the context of a span is read, and keep it for its class."""
        kind: type = object
        for each in (FlatSpan, RemoteSpan, Span):
            if isinstance(current, each):
                kind = each
                break
        if len(self._flat_kinds) + len(self._other_kinds) < _MAX_KINDS:
            if kind is FlatSpan and self._spans.samples_local:
                self._flat_kinds.add(type(current))
            else:
                self._other_kinds[type(current)] = kind
        return kind

    def _moment_at(self, now_ms: int) -> tuple[Header, Header]:
        time = time_header(now_ms)
        baggage: Header = (BAGGAGE, self._telemetry.propagation.flow_sent(_EMPTY, now_ms)[0])
        self._moment = (now_ms, time, baggage)
        return time, baggage


def _topic_plan(
    telemetry: Telemetry, destinations: Mapping[str, Destination], topic: str
) -> TopicPlan | None:
    if telemetry.propagation.has_boundary(topic):
        return None
    return TopicPlan(telemetry, destinations[topic])


def _short(value: bytes | None) -> bytes | None:
    # A span that waits for its export keeps these, and a longer one never appears on it.
    return value if isinstance(value, bytes) and len(value) <= MAX_VALUE else None


def _rare(value: object, partition: object) -> dict[str, AttributeValue] | None:
    rare: dict[str, AttributeValue] = {}
    if value is None:
        rare[semconv.TOMBSTONE] = True
    if isinstance(partition, int):
        rare[semconv.PARTITION] = str(partition)
    return rare or None
