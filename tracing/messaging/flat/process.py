"""Handling records on the flat path: whether a record may take it, and how its handling begins."""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.context import Context
from opentelemetry.trace import Link

from tracing.core import semconv
from tracing.core.otel_context import (
    BAGGAGE_KEY,
    FLOW_KEY,
    PROCESSING_KEY,
    RECORD_KEY,
    SPAN_KEY,
    SUPPRESSED,
)
from tracing.core.text import name_in
from tracing.headers.cloudevents import ID, MAX_VALUE, SUBJECT, TIME, TYPE
from tracing.headers.codec import MAX_SCANNED
from tracing.headers.context import continuing
from tracing.headers.dead_letter import REPLAY_GROUP
from tracing.headers.flow import EARLIEST_MS, MAX_SKEW_MS
from tracing.headers.w3c import BAGGAGE, TRACEPARENT, TRACESTATE, RemoteSpan, is_version_00
from tracing.messaging.flat.process_flow import FlowReader
from tracing.messaging.flat.process_plan import ProcessPlan, is_usual
from tracing.messaging.flat.process_span import ProcessSpan, UnrecordedProcess
from tracing.messaging.flat.processing import general_of
from tracing.metrics.instruments import Count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import SpanContext

    from tracing.core.bounded import BoundedDict
    from tracing.messaging.catch_up import LaneCatchUp
    from tracing.messaging.flat.engine import Engine, Reason
    from tracing.messaging.flat.handling import FlatHandling
    from tracing.messaging.receive import Polling
    from tracing.messaging.subscription import SubscribedLane
    from tracing.telemetry import Telemetry

_new: Final = object.__new__
_SAMPLED: Final = b"13579bdf"
# No name of a type.
_MIXED: Final = b""


class FlatProcesses:
    """Begins the handling of the records of one consumer. For one event loop.

    Args:
        engine: What the flat path of the telemetry shares.
        telemetry: What the service's clients share.
        lanes: The consumer's lanes, by topic and partition.
        polling: The consumer's polls.
    """

    __slots__ = (
        "_current", "_fallbacks", "_flows", "_hand_over", "_lane", "_lanes", "_link_after_ms",
        "_links", "_max_age_ms", "_partition", "_place", "_plans", "_poll", "_polling", "_recorded",
        "_spans", "_taken", "_topic", "telemetry",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        telemetry: Telemetry,
        lanes: BoundedDict[tuple[str, int], SubscribedLane],
        polling: Polling,
    ) -> None:
        self.telemetry = telemetry
        self._current = engine.current
        self._fallbacks = engine.fallbacks
        self._taken = engine.taken
        self._spans = spans = engine.spans
        self._hand_over = spans.hand_over
        self._lanes = lanes
        self._polling = polling
        self._flows = FlowReader(telemetry.pipeline)
        self._link_after_ms = telemetry.link_after_ms
        self._max_age_ms = telemetry.window.max_age_ms
        self._recorded = spans.kind(ProcessSpan)
        # Of the lane of the last record: the next one is mostly of the same.
        self._topic: object = None
        self._partition: object = None
        self._place: tuple[str, int] = "", -1
        self._lane: SubscribedLane | None = None
        self._plans: dict[bytes | None, ProcessPlan] | None = None
        # To the last poll: many records are linked to the same.
        self._poll: SpanContext | None = None
        self._links: tuple[Link, ...] = ()

    def begin(self, record: Any) -> FlatHandling | None:  # noqa: C901, PLR0912, PLR0915 - calls cost more
        """Begin to handle a record in the running task. Never raises.

        Returns:
            The handling; its span is current until `end_handling`. `None` where the general code
            has to handle the record: then nothing has happened yet, and the reason is counted.
        """
        started = perf_counter()
        reason: Reason | None = None
        catching: LaneCatchUp | None = None
        own: bytes | None = None
        span: ProcessSpan | None = None
        try:
            topic, partition, headers = record.topic, record.partition, record.headers
            if partition != self._partition or topic != self._topic:
                self._enter(topic, partition)
            plans = self._plans
            if plans is None:
                return self._no("topic")
            present = dict(headers)
            message_type = present.get(TYPE)
            plan = plans.get(message_type)
            if plan is None or plan.attributes is not plan.lane.attributes:
                plan = self._plan(message_type)
                if plan is None:
                    return self._no("record")
            ambient = self._current.get()
            above: Any = present.get(TRACEPARENT)
            header = present.get(BAGGAGE)
            timestamp = record.timestamp
            offset, tombstone = record.offset, record.value is None
            event_id, subject, created = present.get(ID), present.get(SUBJECT), present.get(TIME)
            polling = self._polling
            polled = polling.poll_of(record, self._place) if polling.remembered else None
            now_ns = time_ns()
            now_ms = now_ns // 1_000_000
            wait_ms = now_ms - timestamp
            if (
                len(present) != len(headers)
                or len(present) > MAX_SCANNED
                # The span keeps them until it is exported.
                or (event_id is not None and len(event_id) > MAX_VALUE)
                or (subject is not None and len(subject) > MAX_VALUE)
                or (created is not None and len(created) > MAX_VALUE)
            ):
                reason = "headers"
            elif TRACESTATE in present or not (
                TRACEPARENT not in present
                if above is None
                else type(above) is bytes and is_version_00(above)
            ):
                reason = "context_headers"
            elif REPLAY_GROUP in present:
                reason = "replayed"
            elif ambient and (SPAN_KEY in ambient or ambient.get(SUPPRESSED)):
                reason = "parent" if SPAN_KEY in ambient else "suppressed"
            elif (
                not type(offset) is type(timestamp) is int
                or timestamp < EARLIEST_MS
                or wait_ms > self._link_after_ms
                or ((catching := plan.lane.catch_up) is not None and not catching.is_past(offset))
            ):
                reason = "record"
            elif (header != plan.header and not plan.read(header)) or (
                plan.origin_ms is not None
                # As `OriginWindow.holds`.
                and not min(timestamp, now_ms) - self._max_age_ms
                <= plan.origin_ms
                <= now_ms + MAX_SKEW_MS
            ):
                reason = "baggage"
            elif above is not None and above[54] not in _SAMPLED:
                if polled is not None or not self._spans.drops_unsampled:
                    reason = "parent"
            elif not (self._spans.samples_roots if above is None else self._spans.samples_remote):
                reason = "parent"
            else:
                own = self._spans.root() if above is None else self._spans.child(above)
                if own is None:
                    reason = "tracer"
            if reason is not None:
                return self._no(reason)
        except Exception:
            # Such as headers that are no pairs: the general code knows what to do about anything.
            return self._no("record")
        handling: FlatHandling
        flow, arrival = plan.flow, plan.arrival
        try:
            if own is None:
                handling = _new(UnrecordedProcess)
                handling.traceparent = above
            else:
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
                span.tombstone = tombstone
                span.pipeline = cast("str | None", flow.get(semconv.PIPELINE))
                span.ended_well = False
                if plan.lane.mixed:
                    span.mixed_type = message_type
                if polled is not None:
                    span.link_only(self._links_to(polled))
            handling.plan = plan
            handling.started = started
            handling.flow = flow
            handling.baggage = plan.reusable
            handling.origin_ms = plan.origin_ms
            handling.arrival = arrival
            handling.entered = handling.token = handling.view = None
            entries = {
                RECORD_KEY: record,
                BAGGAGE_KEY: flow,
                FLOW_KEY: flow,
                SPAN_KEY: handling,
                PROCESSING_KEY: handling,
            }
            if span is not None and (start := self._hand_over.start) is not None:
                span.announce(start, _parent_context(above, flow, ambient))
            if catching is not None:
                # It is no history, and may be the record after which none is.
                catching.takes(record)
            if wait_ms < 0:
                self.telemetry.diagnostics.clock_skew.value += 1
                wait_ms = 0
            arrival.wait.record(wait_ms / 1000, handling)
            handling.entered = context = Context({**ambient, **entries} if ambient else entries)
            handling.token = self._current.set(context)
        except Exception as fault:
            self.telemetry.diagnostics.failed("process", fault)
            handling.broken = True
            general_of(handling)
        self._taken["process"] += 1
        return handling

    def delivered(self, plan: ProcessPlan) -> Count:
        """Make the counter of the records of a plan that a loop hands to the application.

        Never raises.
        """
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
        self._topic = None
        place = topic, partition
        self._lane = lane = self._lanes[place]
        if lane.flat is None:
            lane.flat = is_usual(self.telemetry, lane)
        self._plans = lane.plans if lane.flat else None
        self._topic, self._partition, self._place = topic, partition, place

    def _plan(self, message_type: object) -> ProcessPlan | None:
        """Make the plan of a type in the lane of the last record; `None` if it has none."""
        lane, plans = self._lane, self._plans
        if lane is None or plans is None:
            return None
        # Others are counted where the general code asks for their series.
        if message_type is not None and not (type(message_type) is bytes and name_in(message_type)):
            return None
        typed = lane.types[message_type]
        # Types without a label of their own share a plan: there may be any number of them.
        kept = _MIXED if typed.mixed else message_type
        plan = plans.get(kept)
        if plan is None or plan.attributes is not typed.attributes:
            plan = plans[kept] = ProcessPlan(
                self.telemetry, typed, message_type, flows=self._flows, current=self._current
            )
        return plan

    def _links_to(self, polled: SpanContext) -> tuple[Link, ...]:
        if polled is not self._poll:
            self._poll, self._links = polled, (Link(polled),)
        return self._links


def _parent_context(above: bytes | None, flow: Mapping[str, object], ambient: Context) -> Context:
    """Return the context that processors see at the start of the span, as of the general code."""
    if above is None:
        return ambient
    return continuing((RemoteSpan(above, None), flow, Context()))
