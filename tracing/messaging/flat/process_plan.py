"""What the records of one type in one lane share on the flat path, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.trace import SpanKind

from tracing.core import semconv
from tracing.headers.flow import MAX_ORIGIN, NO_FLOW
from tracing.headers.w3c import format_baggage
from tracing.spans.flat import SpanPlan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import ContextVar
    from typing import Any

    from opentelemetry.context import Context

    from tracing.messaging.flat.process_flow import FlowReader
    from tracing.messaging.flow_lag import ArrivalDurations
    from tracing.messaging.subscription import TypedLane
    from tracing.metrics.instruments import Count
    from tracing.telemetry import Telemetry

_NOTHING_READ: Final[Any] = object()


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
        succeeded: Records the duration of a handling that succeeded.
        delivered: Counts the records that a loop hands to the application; `None` before the first.
        header: The baggage header that was read last.
        flow: The baggage in it. Records share it: it never changes.
        origin_ms: Its origin, unix ms, plausible or not; `None` without one.
        reusable: The header, if a sender would write the same for this flow; else `None`.
        arrival: Records wait and end-to-end lag of its pipeline.
    """

    __slots__ = (
        "_flows", "_pipeline", "_prefix", "arrival", "current", "delivered", "flow", "header",
        "lane", "message_type", "origin_ms", "reusable", "succeeded", "telemetry",
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
        self.succeeded = lane.series.succeeded.record
        self.delivered: Count | None = None
        self.header: object = _NOTHING_READ
        self.flow: Mapping[str, object] = NO_FLOW
        self.origin_ms: int | None = None
        self.reusable: bytes | None = None
        self._flows = flows
        self._pipeline = telemetry.pipeline
        self._prefix = format_baggage({semconv.PIPELINE: self._pipeline, semconv.ORIGIN: ""})[0]

    def read(self, header: object) -> bool:
        """Read a baggage header, `None` of a record without one; return whether that could be.

        Otherwise the general code has to, and the plan stays as it was.
        """
        flow: Mapping[str, object]
        origin_ms: int | None
        reusable: bytes | None
        if header is None:
            flow, origin_ms, reusable = NO_FLOW, None, None
        elif type(header) is not bytes:
            return False
        else:
            # Most records are of the service's own pipeline, and have no other baggage.
            digits = header[len(self._prefix) :]
            if header.startswith(self._prefix) and digits.isdigit() and len(digits) <= MAX_ORIGIN:
                flow = {semconv.PIPELINE: self._pipeline, semconv.ORIGIN: digits.decode()}
                origin_ms, reusable = int(digits), header
            else:
                read = self._flows.read(header)
                if read is None:
                    return False
                flow, origin_ms, reusable = read
        self.arrival = self.lane.arrivals.of(flow)
        self.flow, self.origin_ms, self.reusable = flow, origin_ms, reusable
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
