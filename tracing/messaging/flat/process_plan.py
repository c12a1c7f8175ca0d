"""What the records of one type in one lane share on the flat path, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind

from tracing.core import semconv
from tracing.core.otel_context import (
    BAGGAGE_KEY,
    FLOW_KEY,
    PROCESSING_KEY,
    RECORD_KEY,
    SPAN_KEY,
)
from tracing.core.text import name_in
from tracing.headers.flow import MAX_ORIGIN, NO_FLOW
from tracing.headers.w3c import format_baggage
from tracing.messaging.flat.near import NO_NUMBERS
from tracing.spans.flat import SpanPlan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import ContextVar
    from typing import Any

    from opentelemetry.context import Context

    from tracing.messaging.flat.near import ProcessNumbers
    from tracing.messaging.flat.process_flow import FlowReader
    from tracing.messaging.flow_lag import ArrivalDurations
    from tracing.messaging.subscription import SubscribedLane, TypedLane
    from tracing.metrics.instruments import Count, Durations
    from tracing.telemetry import Telemetry

_NOTHING_READ: Final[Any] = object()
# No type.
_MIXED: Final = "mixed"


class ProcessPlan(SpanPlan):
    """The plan of the process spans of one type of records in one lane. For one event loop.

    It remembers the last baggage that it read: of several records in one flow, the first alone is
    read.

    Args:
        telemetry: What the service's clients share.
        lane: The lane, for records of the type.
        message_type: The type; `None` of records without one.
        flows: Reads the baggage of other pipelines, or with more entries than the flow's own.
        current: The variable that holds the current context.

    Attributes:
        lane: The same.
        telemetry: The same.
        current: The same.
        message_type: The same.
        succeeded: Receives the durations of handlings that succeeded, in seconds.
        delivered: Counts the records that a loop hands to the application; `None` before the first.
        header: The baggage header that was read last.
        pipeline: The name of its flow; `None` without one.
        flow: The baggage in it. Records share it: it never changes.
        origin_ms: Its origin, unix ms, plausible or not; `None` without one.
        reusable: The header, if a sender would write the same for this flow; else `None`.
        arrival: Records wait and end-to-end lag of its pipeline.
        entries: The entries of a handler's context, with `flow`. The record and its handling are
            `None` in it, but while a context is made of it.
        numbers: What the spans of its last records share as an exporter of OTLP writes them.
    """

    __slots__ = (
        "_flows", "_pipeline", "_prefix", "arrival", "current", "delivered", "entries", "flow",
        "header", "lane", "message_type", "numbers", "origin_ms", "pipeline", "reusable",
        "succeeded", "telemetry",
    )  # fmt: skip

    arrival: ArrivalDurations

    def __init__(
        self,
        telemetry: Telemetry,
        lane: TypedLane,
        message_type: bytes | None,
        *,
        flows: FlowReader,
        current: ContextVar[Context],
    ) -> None:
        super().__init__(lane.name, SpanKind.CONSUMER, lane.attributes)
        self.telemetry = telemetry
        self.current = current
        self.message_type = message_type
        self.lane = lane
        self.succeeded: Durations = lane.series.succeeded
        self.delivered: Count | None = None
        self.header: object = _NOTHING_READ
        self.pipeline: str | None = None
        self.flow: Mapping[str, object] = NO_FLOW
        self.entries: dict[str, object] = {
            RECORD_KEY: None,
            BAGGAGE_KEY: NO_FLOW,
            FLOW_KEY: NO_FLOW,
            SPAN_KEY: None,
            PROCESSING_KEY: None,
        }
        self.origin_ms: int | None = None
        self.reusable: bytes | None = None
        self.numbers: ProcessNumbers = NO_NUMBERS
        self._flows = flows
        self._pipeline = telemetry.pipeline
        own = format_baggage({semconv.PIPELINE: self._pipeline, semconv.ORIGIN: ""})[0]
        self._prefix = own.removesuffix(b"=")

    def read(self, header: object) -> bool:
        """Read a baggage header, `None` of a record without one; return whether that was possible.

        Otherwise the general code has to, and the plan stays as it was.
        """
        flow: Mapping[str, object]
        pipeline: object
        if type(header) is bytes:
            flows = self._flows
            # Messages of one millisecond have the same, whatever their topics.
            if header != flows.header:
                # Most records are of the service's own pipeline, and have no other baggage.
                prefix, _, digits = header.rpartition(b"=")
                if prefix == self._prefix and digits.isdigit() and len(digits) <= MAX_ORIGIN:
                    flow = {semconv.PIPELINE: self._pipeline, semconv.ORIGIN: digits.decode()}
                    flows.last = flow, int(digits), header
                else:
                    other = flows.read(header)
                    if other is None:
                        return False
                    flows.last = other
                flows.header = header
            flow, self.origin_ms, self.reusable = flows.last
            pipeline = flow.get(semconv.PIPELINE)
        elif header is None:
            flow, pipeline, self.origin_ms, self.reusable = NO_FLOW, None, None, None
        else:
            return False
        if pipeline != self.pipeline or self.header is _NOTHING_READ:
            self.arrival = self.lane.arrivals.of(flow)
            # `FlowReader` reads text alone.
            self.pipeline = pipeline  # type: ignore[assignment]  # as said
        entries = self.entries
        self.flow = entries[BAGGAGE_KEY] = entries[FLOW_KEY] = flow
        self.header = header
        return True


def is_usual(telemetry: Telemetry, lane: TypedLane) -> bool:
    """Return whether the records of a lane may take the flat path at all."""
    return (
        lane.relation == "parent"
        and lane.order is None
        and lane.transport.system == semconv.SYSTEM_KAFKA
        and not telemetry.propagation.has_boundary(lane.topic)
    )


def plan_of(
    message_type: Any,
    lane: SubscribedLane,
    telemetry: Telemetry,
    *,
    flows: FlowReader,
    current: ContextVar[Context],
) -> ProcessPlan | None:
    """Return the plan of a type in a lane, made once; `None` of what is no name of a type.

    Args:
        message_type: The type; `None` of records without one.
        lane: The lane, which keeps the plan.
        telemetry: What the service's clients share.
        flows: See `ProcessPlan`.
        current: The variable that holds the current context.
    """
    if message_type is not None and type(message_type) is not bytes:
        return None
    plans: dict[object, ProcessPlan] = lane.plans
    plan = plans.get(message_type)
    # The attributes become others once the cluster's id is known.
    if plan is None or plan.attributes is not plan.lane.attributes:
        # What is no name is counted where the general code asks for its series.
        if message_type is not None and name_in(message_type) is None:
            return None
        typed = lane.types[message_type]
        # Types without a label of their own share a plan: there may be any number of them.
        kept = _MIXED if typed.mixed else message_type
        plan = plans.get(kept)
        if plan is None or plan.attributes is not typed.attributes:
            plan = plans[kept] = ProcessPlan(
                telemetry, typed, message_type, flows=flows, current=current
            )
    return plan
