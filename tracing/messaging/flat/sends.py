"""The start of flat sends: what is unusual about one, and what its span and headers begin with."""

from __future__ import annotations

from contextvars import Context as TaskContext
from functools import partial
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.core.ids import MESSAGE_IDS, random_id
from tracing.core.otel_context import BAGGAGE_KEY, PROCESSING_KEY, SPAN_KEY, SUPPRESSED
from tracing.headers.cloudevents import ID, MAX_VALUE
from tracing.headers.w3c import BAGGAGE, TRACEPARENT
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.flat.moments import Moments
from tracing.messaging.flat.send import SentSpan, UnrecordedSending
from tracing.messaging.flat.send_parents import SendParents
from tracing.messaging.flat.send_plan import TopicPlan, Unusual, forwarded, stored
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracing.core.semconv import AttributeValue
    from tracing.headers.codec import Header
    from tracing.messaging.destination import Destination
    from tracing.messaging.flat.engine import Engine, Reason
    from tracing.messaging.flat.send import FlatSending
    from tracing.messaging.flat.send_plan import HeaderShape, SendPlan
    from tracing.messaging.send import Sending
    from tracing.telemetry import Telemetry

    General = Callable[[str, object, object, object, list[Header]], Sending | None]

_PIPELINE: Final = semconv.PIPELINE
# How often waiting values are counted: at every 1,024th send.
_UNCOUNTED: Final = 0x3FF

_take_id: Final = MESSAGE_IDS.take
_new: Final = object.__new__


class FlatSends:
    """Begins the sends of one producer. For one event loop.

    Args:
        engine: The telemetry's.
        telemetry: What the service's clients share.
        destinations: The values that sends to a topic share, by topic.
        general: Begins a send in the general way; it takes topic, value, key, partition and
            headers, and never raises.

    Attributes:
        ends_in: See `FlatSending`; for sends that are not recorded.
        moments: When they begin.
    """

    __slots__ = (
        "_current", "_dropped_root", "_engine", "_general", "_parents", "_pipeline", "_recorded",
        "_spans", "_taken", "_telemetry", "_topics", "ends_in", "moments",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        telemetry: Telemetry,
        destinations: Mapping[str, Destination],
        general: General,
    ) -> None:
        self._current = engine.current.get
        self._dropped_root = telemetry.spans.dropped_root
        self._engine = engine
        self._general = general
        self._parents = SendParents(engine.spans, telemetry.spans)
        self.moments = Moments(telemetry.propagation)
        # Ends without calls of the user's code need no copy of the sender's variables.
        local = telemetry.metrics.aggregates
        self.ends_in = (
            TaskContext()
            if local(catalog.OPERATION_DURATION) and local(catalog.PUBLISH_DURATION)
            else None
        )
        self._recorded = engine.spans.kind(SentSpan)
        self._spans = engine.spans
        self._pipeline = telemetry.pipeline
        self._taken = engine.taken
        self._telemetry = telemetry
        self._topics: BoundedDict[str, TopicPlan | None] = BoundedDict(
            partial(_topic_plan, telemetry, destinations)
        )

    def begin(  # noqa: C901, PLR0911, PLR0912, PLR0915 - without a call for each part
        self,
        topic: str,
        value: object,
        key: object,
        partition: object,
        headers: list[Header],
        root: bytes | None = None,
    ) -> Sending | FlatSending | None:
        """Begin a send: its span and the headers to send. Never raises.

        Args:
            topic: Where the record goes.
            value: Its value.
            key: Its key.
            partition: Its partition, where the application chose one.
            headers: The application's headers, in a list of our own.
            root: The `traceparent` of the new trace, known to be sampled, that it begins without a
                span around it; `None` leaves to the sampler what it is.

        Returns:
            What ends the send; `None` where it has no telemetry.
        """
        try:
            context = sent_in = self._current()
            current: Any = None
            entries: object = None
            if context:
                # First of all: what is not measured has no series.
                if context.get(SUPPRESSED):
                    return self._unusual("suppressed", topic, value, key, partition, headers)
                current, entries = context.get(SPAN_KEY), context.get(BAGGAGE_KEY)
            topic_plan = self._topics[topic]
            if topic_plan is None:
                return self._unusual("topic", topic, value, key, partition, headers)
            telemetry, spans, parents = self._telemetry, self._spans, self._parents
            if telemetry.describe_schema is not None:
                return self._unusual("schema", topic, value, key, partition, headers)
            continues, own = False, headers
            shape: HeaderShape | None
            made: bytes | None
            subject: bytes | None
            if headers:
                shape, send, made, subject = topic_plan.read(headers)
                if shape.has_context:
                    if context:
                        continues = True
                    else:
                        context, own = stored(telemetry.propagation, headers)
                        current, entries = context.get(SPAN_KEY), context.get(BAGGAGE_KEY)
            else:
                shape = made = subject = None
                send = topic_plan.plain or topic_plan.assumed()
            if send is None:
                return self._unusual("record", topic, value, key, partition, headers)
            traceparent: bytes | None
            if current is None:
                above, remote = None, False
                if root is not None:
                    sampled, traceparent = True, root
                elif spans.samples_roots:
                    sampled, traceparent = True, spans.root()
                elif spans.drops_roots:
                    sampled, traceparent = False, self._dropped_root()
                else:
                    sampled, traceparent = parents.root()
            elif type(current) in parents.flat_kinds:
                above, remote, sampled = current.traceparent, False, True
                traceparent = spans.child(above)
            else:
                above, remote, sampled, traceparent = parents.below(current)
            if traceparent is None:
                return self._unusual("tracer", topic, value, key, partition, headers)
            if continues:
                own = forwarded(headers, current)

            # From here on there are side effects.
            taken = self._taken
            taken["send"] = number = taken["send"] + 1
            if not number & _UNCOUNTED:
                telemetry.metrics.count_later()
            now_ns = time_ns()
            since_ns, until_ns, now_ms, time, baggage = self.moments.last
            if not since_ns <= now_ns < until_ns:
                _, _, now_ms, time, baggage = self.moments.at(now_ns)
            pipeline: object = self._pipeline
            origin: object = now_ms
            published = topic_plan.begun or topic_plan.published()
            if entries:
                handling = context.get(PROCESSING_KEY)
                if (
                    isinstance(handling, FlatHandling)
                    and entries is handling.flow
                    and (written := handling.baggage)
                ):
                    flow, origin = handling.flow, handling.origin_ms
                else:
                    written, flow = telemetry.propagation.flow_sent(context, now_ms)
                    origin = flow.get(semconv.ORIGIN)
                baggage, pipeline = (BAGGAGE, written), flow.get(_PIPELINE)
                if pipeline != self._pipeline:
                    published = topic_plan.destination.publications.of(flow)
            created_ms: int | None = now_ms
            # Where something fails, the application's own go out as they were given.
            sent: list[Header]
            if shape is not None and not shape.needs_both:
                sent = [*own]
                if shape.needs_id:
                    made = random_id()
                    sent.append((ID, made))
                elif made is not None:
                    made = _short(made)
                if shape.needs_time:
                    sent.append(time)
                sent += (*shape.constant, (TRACEPARENT, traceparent), baggage)
                if shape.has_time:
                    created_ms = telemetry.created_ms(dict(headers))
            elif topic_plan.constant is None:
                sent = [(TRACEPARENT, traceparent), baggage]
            else:
                try:
                    made = _take_id()
                except IndexError:
                    made = random_id()
                if shape is None:
                    version, source, kind = topic_plan.constant
                    sent = [
                        (ID, made), time, version, source, kind, (TRACEPARENT, traceparent),
                        baggage,
                    ]  # fmt: skip
                else:
                    sent = [
                        *own, (ID, made), time, *shape.constant, (TRACEPARENT, traceparent),
                        baggage,
                    ]  # fmt: skip

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
                span.pipeline = pipeline
                span.origin = origin
                span.message_id = made
                if subject is not None and (type(subject) is not bytes or len(subject) > MAX_VALUE):
                    # As `_short`.
                    subject = None
                span.subject = subject
                span.rare = span.placed = None
                if value is None or partition is not None:
                    span.rare = _rare(value, partition)
                hand_over = spans.hand_over
                if hand_over.start is not None:
                    span.announce(hand_over.start, context)
                sending.ends_in = self.ends_in if hand_over.calls_nobody else None
            else:
                sending = UnrecordedSending()
                sending.ends_in = self.ends_in
            sending.headers = sent
            sending.send = send
            sending.sent_in = sent_in
            sending.created_ms = created_ms
            sending.published = published
            sending.started = perf_counter()
            return sending  # type: ignore[no-any-return]  # noqa: TRY300 - one of two classes
        except Unusual as unusual:
            return self._unusual(unusual.reason, topic, value, key, partition, headers)
        except Exception as fault:
            self._telemetry.diagnostics.failed("send", fault)
            return None

    def plan_of_plain(self, topic: str) -> SendPlan | None:
        """Return the plan of sends without headers of their own to a topic.

        `None` where those of the topic cannot be flat, or have no label of their own. Without side
        effects, besides the series of what is sent.
        """
        plan = self._topics[topic]
        return None if plan is None else plan.plain or plan.assumed()

    def _unusual(self, reason: Reason, *record: Any) -> Sending | None:
        """Begin a send in the general way, and count why."""
        self._engine.fallbacks[reason] += 1
        return self._general(*record)


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
