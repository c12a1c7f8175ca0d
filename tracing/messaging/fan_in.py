"""Several records handled as one: the flow that the result belongs to, and each record's lag."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Link

from tracing.core import semconv
from tracing.headers.codec import latest
from tracing.headers.dead_letter import REPLAY_GROUP, Replay
from tracing.headers.flow import parse_origin
from tracing.messaging.catch_up import begun_anew
from tracing.messaging.message_type import described, type_of
from tracing.spans.message_links import MessageLinks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.trace import Span, SpanContext

    from tracing.core.semconv import Attributes, AttributeValue
    from tracing.messaging.flow_lag import ArrivalDurations
    from tracing.messaging.subscription import SubscribedLane, TypedLane
    from tracing.telemetry import Telemetry

MAX_LINKS: Final = 128
"""Links on one span, the SDK's own default limit; the real number is an attribute."""

_FLOW: Final = (semconv.PIPELINE, semconv.ORIGIN)


Arrived = tuple[Any, int, "int | None", "ArrivalDurations"]
"""One record of several.

The record; its age in ms, negative where clocks disagree; when its flow began, unix ms, where it
says so; and what records its durations.
"""


class FanIn:
    """Several records that are handled at once, read one after another. For one thread.

    Args:
        telemetry: What the service's clients share.
        now_ms: When their handling starts, unix ms.
        max_links: How many links there may be.

    Attributes:
        now_ms: The same.
        room: How many more links there may be.
        links: Links to the spans that created the first of them.
        unlinked: Number of further records with a creating span.
        faults: What is wrong with the order of the records, as the attributes of span events.
        arrived: Those whose lag is measured. History and replays are late by their nature, and
            would hide the lag of the others.
        marks: The attributes of a batch that holds history.
        lanes: Where each comes from, by its type.
        agreed: The baggage beside the flow's own that all of them share; `None` before the first.
        oldest: Whether the oldest flow is of a replay or of history, and its origin, unix ms.
        oldest_flow: The baggage of the record with the oldest origin. A replay's flow counts only
            if there is no other.
    """

    __slots__ = (
        "_telemetry", "agreed", "arrived", "faults", "lanes", "links", "marks", "now_ms", "oldest",
        "oldest_flow", "room", "unlinked",
    )  # fmt: skip

    def __init__(self, telemetry: Telemetry, now_ms: int, max_links: int = MAX_LINKS) -> None:
        self._telemetry = telemetry
        self.now_ms = now_ms
        self.room = max_links
        self.links = MessageLinks()
        self.unlinked = 0
        self.faults: list[Attributes] = []
        self.arrived: list[Arrived] = []
        self.marks: dict[str, AttributeValue] = {}
        self.lanes: list[TypedLane] = []
        self.agreed: dict[str, object] | None = None
        self.oldest: tuple[bool, float] = True, inf
        self.oldest_flow: Mapping[str, object] = {}

    def add(self, record: Any, subscribed: SubscribedLane) -> None:
        """Read the next record, which comes from this lane."""
        telemetry = self._telemetry
        present = latest(record.headers)
        message_type = type_of(telemetry, record, present)
        lane = subscribed.types[message_type]
        self.lanes.append(lane)
        # Some clients hand over records without a timestamp. An impossible origin counts as none:
        # it must not become that of all others.
        timestamp: object = getattr(record, "timestamp", None)
        creation, flow, _ = telemetry.propagation.extract(
            record.headers, present, lane.topic, timestamp
        )
        if creation is not None and self.room > 0:
            self.room -= 1
            placement = lane.transport.placement(record)
            self.links.append(link_to(creation, {**placement, **described(message_type)}))
        elif creation is not None:
            self.unlinked += 1
        history = lane.catch_up is not None and lane.catch_up.takes(record)
        if history:
            flow = begun_anew(flow)
            self.marks[semconv.CATCH_UP] = True
        self.agree(flow)
        replayed = history or (REPLAY_GROUP in present and Replay.of(record) is not None)
        if lane.order is not None and not replayed:
            fault = lane.order.fault(record, present)
            if fault is not None:
                self.faults.append(fault)
        origin_ms = parse_origin(flow.get(semconv.ORIGIN))
        if origin_ms is not None and (replayed, origin_ms) < self.oldest:
            self.oldest = replayed, origin_ms
            self.oldest_flow = flow
        if not replayed and isinstance(timestamp, int) and timestamp >= 0:
            durations = lane.arrivals.of(flow)
            wait_ms = self.now_ms - timestamp
            self.arrived.append((record, wait_ms, origin_ms, durations))

    def agree(self, flow: Mapping[str, object]) -> None:
        """Keep of the shared baggage what a record's has, too."""
        if self.agreed is None:
            self.agreed = {name: value for name, value in flow.items() if name not in _FLOW}
        elif self.agreed:
            self.agreed = dict(self.agreed.items() & flow.items())

    @property
    def flow(self) -> dict[str, object]:
        """The baggage of the result.

        Pipeline and origin are those of the record with the oldest origin; the other entries are
        those that all records share.
        """
        oldest = self.oldest_flow
        return {**(self.agreed or {}), **{name: oldest[name] for name in _FLOW if name in oldest}}


def deciding(linked: Iterable[SpanContext]) -> SpanContext | None:
    """Choose the linked span whose sampling decision a trace keeps: the first that is sampled.

    With it, no trace that is kept breaks off where several meet, and spans of several messages are
    no more than the messages whose traces are kept. The others' links lead nowhere.
    """
    first: SpanContext | None = None
    for context in linked:
        if context.trace_flags.sampled:
            return context
        first = first or context
    return first


def link_to(creation: Span, message: Attributes) -> Link:
    """Link to the span that created a message; describe the message on the link."""
    return Link(creation.get_span_context(), message)
