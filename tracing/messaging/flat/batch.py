"""Reading the records of a batch on the flat path: what they add to the batch's span, and no more.

One batch has one span, so what counts is what each of its records costs. Of an ordinary record the
headers become no objects: its link is made when the span is read, and its baggage is a number as
long as it is not the oldest.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.core.text import name_in
from tracing.headers.flow import EARLIEST_MS, MAX_ORIGIN, MAX_SKEW_MS, NO_FLOW
from tracing.headers.w3c import format_baggage, is_version_00
from tracing.messaging.fan_in import FanIn
from tracing.messaging.flat.engine import log_fault
from tracing.messaging.flat.header_layout import HeaderLayouts, taken_apart
from tracing.messaging.flat.process_flow import FlowReader
from tracing.messaging.message_type import described
from tracing.spans.message_links import LinkPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tracing.messaging.flat.engine import Engine, Reason
    from tracing.messaging.flow_lag import ArrivalDurations
    from tracing.messaging.subscription import SubscribedLane, TypedLane
    from tracing.telemetry import Telemetry

_Types = BoundedDict["bytes | None", "_Plan | None"]


class _Plan:
    """What the records of one type in one lane share in a batch, made once."""

    __slots__ = ("arrivals", "lane", "link")

    def __init__(self, lane: TypedLane, link: LinkPlan) -> None:
        self.lane = lane
        self.link = link
        # Of the service's own pipeline; `None` before the first record of it.
        self.arrivals: ArrivalDurations | None = None


class FlatFanIn:
    """Reads the batches of one consumer. For one event loop.

    Args:
        engine: What the flat path of the telemetry shares.
        telemetry: What the service's clients share.
    """

    __slots__ = (
        "_fallbacks", "_flows", "_layout", "_layouts", "_max_age_ms", "_own", "_plans", "_size",
        "_taken", "_telemetry",
    )  # fmt: skip

    def __init__(self, engine: Engine, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._fallbacks = engine.fallbacks
        self._taken = engine.taken
        self._max_age_ms = telemetry.window.max_age_ms
        self._own = format_baggage({semconv.PIPELINE: telemetry.pipeline, semconv.ORIGIN: ""})[0]
        self._size = len(self._own)
        self._flows = FlowReader(telemetry.pipeline)
        self._layouts = HeaderLayouts()
        # Of the last record: the next one mostly has the same.
        self._layout = self._layouts.of(())
        self._plans: BoundedDict[SubscribedLane, _Types] = BoundedDict(self._new_plans)

    def read(  # noqa: C901, PLR0912, PLR0915 - calls cost more
        self, records: Iterable[tuple[Any, SubscribedLane]], now_ms: int, max_links: int
    ) -> FanIn:
        """Read records, each with where it comes from; those that are unusual as `fan_in` does.

        Args:
            records: The records.
            now_ms: When their handling starts, unix ms.
            max_links: How many links there may be.
        """
        read = FanIn(self._telemetry, now_ms, max_links)
        lanes, arrived, link = read.lanes, read.arrived, read.links.add
        own, size, max_age_ms = self._own, self._size, self._max_age_ms
        layout = self._layout
        latest_ms, oldest_ms = now_ms + MAX_SKEW_MS, inf
        reason: Reason | None
        last: SubscribedLane | None = None
        plans: _Types = _NO_PLANS
        taken = 0
        for record, subscribed in records:
            flow: Mapping[str, object] | None = None
            origin_ms: int | None = None
            try:
                if subscribed is not last:
                    last, plans = subscribed, self._plans[subscribed]
                try:
                    names, values = taken_apart(record.headers)
                    if names != layout.names:
                        layout = self._layouts.of(names)
                except (TypeError, ValueError):
                    oldest_ms = self._add_generally(record, subscribed, read, "headers")
                    continue
                plan = plans[values[layout.event_type]]
                above, header = values[layout.traceparent], values[layout.baggage]
                timestamp, offset = record.timestamp, record.offset
                if plan is None:
                    reason = "topic"
                elif layout.reason is not None:
                    reason = layout.reason
                elif (
                    layout.has_parent
                    if above is None
                    else type(above) is not bytes or not is_version_00(above)
                ):
                    reason = "context_headers"
                elif (
                    not type(offset) is type(timestamp) is int
                    or timestamp < EARLIEST_MS
                    or plan.lane.catch_up is not None
                ):
                    reason = "record"
                else:
                    reason = None
                    if header is None:
                        flow = NO_FLOW
                    elif type(header) is not bytes:
                        reason = "baggage"
                    elif header.startswith(own) and (digits := header[size:]).isdigit():
                        # Most are of the service's own pipeline, and have no other baggage.
                        origin_ms = int(digits) if len(digits) <= MAX_ORIGIN else -1
                    elif (other := self._flows.read(header)) is not None:
                        flow, origin_ms, _ = other
                    else:
                        reason = "baggage"
                    # As `OriginWindow.holds`.
                    if origin_ms is not None and not (
                        (timestamp if timestamp < now_ms else now_ms) - max_age_ms  # noqa: FURB136 - a call costs more
                        <= origin_ms
                        <= latest_ms
                    ):
                        reason = "baggage"
            except Exception as fault:
                log_fault(fault)
                oldest_ms = self._add_generally(record, subscribed, read, "fault")
                continue
            if reason is not None or plan is None:
                oldest_ms = self._add_generally(record, subscribed, read, reason or "topic")
                continue
            if flow is None:
                arrivals = plan.arrivals
                if arrivals is None:
                    arrivals = plan.arrivals = plan.lane.arrivals.of(self._own_flow(header))
            else:
                arrivals = plan.lane.arrivals.of(flow)
            if origin_ms is not None and origin_ms < oldest_ms:
                oldest_ms = origin_ms
                read.oldest = False, origin_ms
                read.oldest_flow = self._own_flow(header) if flow is None else flow
            if flow:
                read.agree(flow)
            elif read.agreed is None or read.agreed:
                read.agreed = {}
            lanes.append(plan.lane)
            if above is not None:
                if read.room > 0:
                    read.room -= 1
                    link(above, plan.link, offset)
                else:
                    read.unlinked += 1
            arrived.append((record, now_ms - timestamp, origin_ms, arrivals))
            taken += 1
        self._taken["batch"] += taken
        self._layout = layout
        return read

    def _add_generally(
        self, record: Any, subscribed: SubscribedLane, read: FanIn, reason: Reason
    ) -> float:
        """Read a record as `FanIn` does; return the oldest origin so far, if it is no replay's."""
        self._fallbacks[reason] += 1
        read.add(record, subscribed)
        replayed, origin_ms = read.oldest
        return inf if replayed else origin_ms

    def _new_plans(self, subscribed: SubscribedLane) -> _Types:
        usual = (
            subscribed.order is None
            and subscribed.transport.system == semconv.SYSTEM_KAFKA
            and not self._telemetry.propagation.has_boundary(subscribed.topic)
        )

        def plan(message_type: bytes | None) -> _Plan | None:
            named = type(message_type) is bytes and name_in(message_type) is not None
            if not usual or not (named or message_type is None):
                return None
            lane = subscribed.types[message_type]
            partition = subscribed.attributes[semconv.PARTITION]
            link = LinkPlan({semconv.PARTITION: partition}, semconv.OFFSET, described(message_type))
            return _Plan(lane, link)

        return BoundedDict(plan)

    def _own_flow(self, header: bytes) -> Mapping[str, object]:
        origin = header[self._size :].decode()
        return {semconv.PIPELINE: self._telemetry.pipeline, semconv.ORIGIN: origin}


_NO_PLANS: Final[_Types] = BoundedDict(lambda _: None)
