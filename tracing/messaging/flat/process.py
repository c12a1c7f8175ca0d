"""Handling records on the flat path: whether a record may take it, and how its handling begins."""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Link

from tracing.core.ids import BELOW_SAMPLED
from tracing.core.otel_context import (
    PROCESSING_KEY,
    RECORD_KEY,
    SPAN_KEY,
    SUPPRESSED,
)
from tracing.headers.cloudevents import MAX_VALUE
from tracing.headers.flow import EARLIEST_MS, MAX_SKEW_MS
from tracing.headers.w3c import (
    HEX_AS_ZERO,
    HIGHEST_00,
    LOWEST_00,
    NO_SPAN,
    SAMPLED,
    SHAPE_00,
)
from tracing.messaging.flat.engine import log_fault
from tracing.messaging.flat.header_layout import PLAIN_EVENT, HeaderLayouts, taken_apart
from tracing.messaging.flat.process_flow import FlowReader
from tracing.messaging.flat.process_plan import is_usual, plan_of
from tracing.messaging.flat.process_span import ProcessSpan, UnrecordedProcess, parent_context
from tracing.messaging.flat.processing import general_of
from tracing.metrics.instruments import Count

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from tracing.core.bounded import BoundedDict
    from tracing.messaging.catch_up import LaneCatchUp
    from tracing.messaging.flat.engine import Engine, Reason
    from tracing.messaging.flat.handling import FlatHandling
    from tracing.messaging.flat.process_plan import ProcessPlan
    from tracing.messaging.receive import Polling
    from tracing.messaging.subscription import SubscribedLane
    from tracing.telemetry import Telemetry

_new: Final = object.__new__
# Of so many records, the values may wait to be counted.
_UNCOUNTED: Final = 0x3FF
_UNREAD: Final[Any] = (), None, None, None, None, None
_FAR_MS: Final = -MAX_SKEW_MS


class FlatProcesses:
    """Begins the handling of the records of one consumer. For one event loop.

    Args:
        engine: What the flat path of the telemetry shares.
        telemetry: What the service's clients share.
        lanes: The consumer's lanes, by topic and partition.
        polling: The consumer's polls.
    """

    __slots__ = (
        "_current", "_drops_unsampled", "_fallbacks", "_flat", "_flows", "_hand_over",
        "_lane", "_lanes", "_layout", "_layouts", "_link_after_ms", "_links",
        "_max_age_ms", "_partition", "_place", "_plan", "_poll", "_polling", "_ready", "_recorded",
        "_samples_remote", "_spans", "_taken", "_topic", "telemetry",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        telemetry: Telemetry,
        lanes: BoundedDict[tuple[str, int], SubscribedLane],
        polling: Polling,
    ) -> None:
        self.telemetry = telemetry
        self._fallbacks = engine.fallbacks
        self._taken = engine.taken
        self._current = engine.current
        self._spans = spans = engine.spans
        self._drops_unsampled = spans.drops_unsampled
        self._samples_remote = spans.samples_remote
        self._ready = spans.ready
        self._hand_over = spans.hand_over
        self._lanes = lanes
        self._polling = polling
        self._flows = FlowReader(telemetry.pipeline)
        self._link_after_ms = telemetry.link_after_ms
        self._max_age_ms = telemetry.window.max_age_ms
        self._recorded = spans.kind(ProcessSpan)
        # Of the last record: the next one mostly has the same.
        self._topic: object = None
        self._partition: object = None
        self._place: tuple[str, int] = "", -1
        self._lane: SubscribedLane | None = None
        self._flat = False
        self._plan: ProcessPlan | None = None
        self._layouts = HeaderLayouts()
        self._layout = self._layouts.of(())
        # To the last poll: many records are linked to the same.
        self._poll: SpanContext | None = None
        self._links: tuple[Link, ...] = ()

    def begin(self, record: Any) -> FlatHandling | None:  # noqa: C901, PLR0911, PLR0912, PLR0915 - calls cost more
        """Begin to handle a record in the running task. Never raises.

        Returns:
            The handling; its span is current until `end_handling`. `None` where the general code
            has to handle the record: then nothing has happened yet, and the reason is counted.
        """
        started = perf_counter()
        reason: Reason | None = None
        catching: LaneCatchUp | None = None
        own: bytes | None = None
        try:
            topic, partition = record.topic, record.partition
            if partition != self._partition or topic != self._topic:
                self._enter(topic, partition)
            if not self._flat:
                return self._no("topic")
            headers, timestamp = record.headers, record.timestamp
            try:
                if (count := len(headers)) == 7:  # noqa: PLR2004 - so many does a plain event have
                    (
                        (a, event_id), (b, created), (c, _), (d, _), (e, message_type), (f, above),
                        (g, header),
                    ) = headers  # fmt: skip
                    names: tuple[str, ...] = a, b, c, d, e, f, g
                else:
                    names, event_id, created, message_type, above, header = _UNREAD
                subject, has_parent = None, True
                if names != PLAIN_EVENT:
                    layout = self._layout
                    unpack = layout.unpack if count == layout.count else taken_apart
                    names, values = unpack(headers)
                    if names != layout.names:
                        layout = self._layouts.of(names)
                        if layout.reason is not None:
                            return self._no(layout.reason)
                        self._layout = layout
                    event_id, created, message_type, subject, above, header = layout.pick(values)
                    has_parent = layout.has_parent
            except (TypeError, ValueError):
                return self._no("headers")
            plan = self._plan
            if (
                plan is None
                or message_type != plan.message_type
                or plan.attributes is not plan.lane.attributes
            ):
                plan = self._plan_of(message_type)
                if plan is None:
                    return self._no("record")
            ambient = self._current.get()
            polling = self._polling
            polled = polling.poll_of(record, self._place) if polling.remembered else None
            if type(timestamp) is not int:
                return self._no("record")
            now_ns = time_ns()
            now_ms = now_ns // 1_000_000
            wait_ms = now_ms - timestamp
            if ambient and (SPAN_KEY in ambient or ambient.get(SUPPRESSED)):
                reason = "parent" if SPAN_KEY in ambient else "suppressed"
            elif (
                wait_ms > self._link_after_ms
                or timestamp < EARLIEST_MS
                or (
                    (catching := plan.lane.catch_up) is not None
                    and not catching.is_past(record.offset)
                )
            ):
                reason = "record"
            elif (header != plan.header and not plan.read(header)) or (
                # As `OriginWindow.holds`.
                plan.origin_ms is not None
                and (
                    (age_ms := now_ms - plan.origin_ms) < _FAR_MS
                    or (age_ms > self._max_age_ms and timestamp - plan.origin_ms > self._max_age_ms)
                )
            ):
                reason = "baggage"
            elif above is None:
                if has_parent:
                    reason = "context_headers"
                elif not self._spans.samples_roots:
                    reason = "parent"
                else:
                    own = self._spans.root()
                    reason = "tracer" if own is None else None
            elif (
                # As `is_version_00`.
                type(above) is not bytes
                or above.translate(HEX_AS_ZERO) != SHAPE_00
                or not LOWEST_00 < above < HIGHEST_00
                or above[36:52] == NO_SPAN
            ):
                reason = "context_headers"
            elif above[54] not in SAMPLED:
                if polled is not None or not self._drops_unsampled:
                    reason = "parent"
            elif not self._samples_remote:
                reason = "parent"
            elif not self._ready():
                reason = "tracer"
            else:
                ids = BELOW_SAMPLED[above[53:]]
                take = ids.take
                try:
                    own = above[:35] + take()
                except IndexError:
                    own = above[:35] + ids.new()
            if reason is not None:
                return self._no(reason)
            handling: ProcessSpan | UnrecordedProcess
            if own is None:
                span = None
                handling = UnrecordedProcess()
                handling.traceparent = above
            else:
                offset = record.offset
                if (
                    # The span keeps them until it is exported.
                    (event_id is not None and len(event_id) > MAX_VALUE)
                    or (subject is not None and len(subject) > MAX_VALUE)
                    or (created is not None and len(created) > MAX_VALUE)
                ):
                    return self._no("headers")
                if type(offset) is not int:
                    return self._no("record")
                handling = span = _new(self._recorded)
                span.traceparent = own
                span.above = above
                span.above_is_remote = True
                span.start_ns = now_ns
                span.end_ns = span.added = None
                span.event_id = event_id
                span.subject = subject
                span.created = created
                span.offset = offset
                span.timestamp = timestamp
                span.tombstone = record.value is None
                span.pipeline = plan.pipeline
                span.ended_well = False
            # All slots, before anything sees it.
            handling.plan = plan
            handling.started = started
            handling.flow = flow = plan.flow
            handling.baggage = plan.reusable
            handling.origin_ms = plan.origin_ms
            handling.arrival = arrival = plan.arrival
            handling.entered = handling.token = handling.view = None
        except Exception as fault:
            # A mistake of ours, or a record like no client's: the general code copes with either.
            log_fault(fault)
            return self._no("fault")
        try:
            if span is not None:
                if plan.lane.mixed:
                    span.mixed_type = message_type
                if polled is not None:
                    span.link_only(self._links_to(polled))
                if (start := self._hand_over.start) is not None:
                    span.announce(start, parent_context(above, flow, ambient))
            if catching is not None:
                # It is no history, and may be the record after which none is.
                catching.takes(record)
            if wait_ms < 0:
                self.telemetry.diagnostics.clock_skew.value += 1
                wait_ms = 0
            wait_s, wait = wait_ms / 1000, arrival.wait
            if wait.later is not None and (span is None or wait.low < wait_s <= wait.high):
                wait.later(wait_s)
            else:
                wait.record(wait_s, handling)
            entries = plan.entries
            entries[RECORD_KEY] = record
            entries[SPAN_KEY] = entries[PROCESSING_KEY] = handling
            context = Context({**ambient, **entries} if ambient else entries)
            entries[RECORD_KEY] = entries[SPAN_KEY] = entries[PROCESSING_KEY] = None
            handling.entered = context
            handling.token = self._current.set(context)
        except Exception as fault:
            self.telemetry.diagnostics.failed("process", fault)
            handling.broken = True
            general_of(handling)
        taken = self._taken
        taken["process"] = number = taken["process"] + 1
        if not number & _UNCOUNTED:
            self.telemetry.metrics.count_later()
        return handling

    def delivered(self, plan: ProcessPlan) -> Count:
        """Make the counter of a plan's records that a loop hands over. Never raises."""
        try:
            count = self._polling.count(plan.lane.topic, plan.message_type)
        except Exception as fault:
            self.telemetry.diagnostics.failed("process", fault)
            count = Count()
        plan.delivered = count
        return count

    def origin_of(
        self, record: Any, place: tuple[str, int]
    ) -> tuple[SubscribedLane, SpanContext | None]:
        """Return what the general code needs: a record's lane, and the poll that brought it."""
        polled = self._polling.poll_of(record, place) if self._polling.remembered else None
        return self._lanes[place], polled

    def _no(self, reason: Reason) -> FlatHandling | None:
        self._fallbacks[reason] += 1
        return None

    def _enter(self, topic: str, partition: int) -> None:
        """Remember the lane of a record."""
        if not isinstance(topic, str):
            raise TypeError("a record without a topic")
        # First of all, so that a failure leaves nothing half done.
        self._topic = self._plan = None
        place = topic, partition
        self._lane = lane = self._lanes[place]
        if lane.flat is None:
            lane.flat = is_usual(self.telemetry, lane)
        self._flat = lane.flat
        self._topic, self._partition, self._place = topic, partition, place
        self._plan = lane.plan

    def _plan_of(self, message_type: Any) -> ProcessPlan | None:
        """Return the plan of a type in the lane of the last record; `None` if it has none."""
        lane = self._lane
        if lane is not None:
            self._plan = lane.plan = plan_of(
                message_type, lane, self.telemetry, flows=self._flows, current=self._current
            )
        return self._plan

    def _links_to(self, polled: SpanContext) -> tuple[Link, ...]:
        if polled is not self._poll:
            self._poll, self._links = polled, (Link(polled),)
        return self._links
