"""Several records handled as one: the flow that the result belongs to, and each record's lag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Link

from tracing.core import semconv
from tracing.headers.codec import latest
from tracing.headers.dead_letter import REPLAY_GROUP, Replay
from tracing.headers.flow import parse_origin
from tracing.messaging.catch_up import begun_anew
from tracing.messaging.message_type import described, type_of

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


@dataclass(frozen=True, slots=True)
class Arrived:
    """One record of several.

    Attributes:
        record: The record.
        wait_ms: Its age; negative where clocks disagree.
        origin_ms: When its flow began, unix ms, where it says so.
        durations: Records its durations.
    """

    record: Any
    wait_ms: int
    origin_ms: int | None
    durations: ArrivalDurations


@dataclass(frozen=True, slots=True)
class FanIn:
    """Several records, read.

    Attributes:
        flow: The baggage of the result: pipeline and origin of the record with the oldest
            origin, and the other entries that all of them share.
        links: Links to the spans that created the first of them.
        unlinked: Number of further records with a creating span.
        faults: What is wrong with the order of the records, as the attributes of span events.
        arrived: Those whose lag is measured. History and replays are late by their nature, and
            would hide the lag of the others.
        marks: The attributes of a batch that holds history.
        lanes: Where each comes from, by its type.
    """

    flow: dict[str, object]
    links: tuple[Link, ...]
    unlinked: int
    faults: tuple[Attributes, ...]
    arrived: tuple[Arrived, ...]
    marks: Attributes
    lanes: tuple[TypedLane, ...]


def fan_in(
    telemetry: Telemetry,
    handled: Iterable[tuple[Any, SubscribedLane]],
    now_ms: int,
    max_links: int = MAX_LINKS,
) -> FanIn:
    """Read several records that are handled at once.

    Args:
        telemetry: What the service's clients share.
        handled: The records, each with where it comes from.
        now_ms: When their handling starts, unix ms.
        max_links: How many links there may be.
    """
    links: list[Link] = []
    arrived: list[Arrived] = []
    agreed: dict[str, object] | None = None
    flows: list[tuple[bool, int, Mapping[str, object]]] = []
    unlinked = 0
    marks: dict[str, AttributeValue] = {}
    faults: list[Attributes] = []
    lanes: list[TypedLane] = []
    for record, subscribed in handled:
        present = latest(record.headers)
        message_type = type_of(telemetry, record, present)
        lane = subscribed.types[message_type]
        lanes.append(lane)
        # Some clients hand over records without a timestamp. An impossible origin counts as none:
        # it must not become that of all others.
        timestamp: object = getattr(record, "timestamp", None)
        creation, flow, _ = telemetry.propagation.extract(
            record.headers, present, lane.topic, timestamp
        )
        if creation is not None and len(links) < max_links:
            placement = lane.transport.placement(record)
            links.append(link_to(creation, {**placement, **described(message_type)}))
        elif creation is not None:
            unlinked += 1
        history = lane.catch_up is not None and lane.catch_up.takes(record)
        if history:
            flow = begun_anew(flow)
            marks[semconv.CATCH_UP] = True
        agreed = dict(flow if agreed is None else agreed.items() & flow.items())
        replayed = history or (REPLAY_GROUP in present and Replay.of(record) is not None)
        if lane.order is not None and not replayed:
            fault = lane.order.fault(record, present)
            if fault is not None:
                faults.append(fault)
        origin_ms = parse_origin(flow.get(semconv.ORIGIN))
        if origin_ms is not None:
            flows.append((replayed, origin_ms, flow))
        if not replayed and isinstance(timestamp, int) and timestamp >= 0:
            durations = lane.arrivals.of(flow)
            arrived.append(Arrived(record, now_ms - record.timestamp, origin_ms, durations))
    # A replay's flow counts only if there is no other; the oldest origin decides.
    _, _, oldest = min(flows, key=lambda each: each[:2], default=(False, 0, {}))
    whole = {name: value for name, value in (agreed or {}).items() if name not in _FLOW}
    whole |= {name: oldest[name] for name in _FLOW if name in oldest}
    return FanIn(whole, tuple(links), unlinked, tuple(faults), tuple(arrived), marks, tuple(lanes))


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
