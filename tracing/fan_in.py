"""Many records that become one thing: the flow that it belongs to, and how late each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tracing import semconv
from tracing.headers import latest
from tracing.links import MAX_LINKS, link_to
from tracing.propagation import parse_origin
from tracing.provenance import REPLAY_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka.structs import ConsumerRecord
    from opentelemetry.trace import Link

    from tracing.hop import ArrivalDurations
    from tracing.sources import Source
    from tracing.telemetry import Telemetry

_FLOW: Final = (semconv.PIPELINE, semconv.ORIGIN)


@dataclass(frozen=True, slots=True)
class Arrived:
    """One record of several.

    Attributes:
        record: Which one.
        wait_ms: Its age; negative where clocks disagree.
        origin_ms: When its flow began, unix ms, where it says so.
        durations: Where its times are told.
    """

    record: ConsumerRecord[Any, Any]
    wait_ms: int
    origin_ms: int | None
    durations: ArrivalDurations


@dataclass(frozen=True, slots=True)
class FanIn:
    """Several records, read.

    Attributes:
        flow: The baggage of what becomes of them: pipeline and origin of the one whose origin is
            the oldest, and else what all of them agree on.
        links: Links to the first 128 of them, as far as they say where they come from.
        arrived: Those whose times tell something. Replays are late by their nature, and would
            hide how late the others are.
    """

    flow: dict[str, object]
    links: tuple[Link, ...]
    arrived: tuple[Arrived, ...]


def fan_in(
    telemetry: Telemetry, handled: Iterable[tuple[ConsumerRecord[Any, Any], Source]], now_ms: int
) -> FanIn:
    """Read several records that are handled at once.

    Args:
        telemetry: What the service's clients share.
        handled: The records, each with where it comes from.
        now_ms: When their handling starts, unix ms.
    """
    links: list[Link] = []
    arrived: list[Arrived] = []
    agreed: dict[str, object] | None = None
    oldest: Mapping[str, object] = {}
    oldest_ms: int | None = None
    for record, source in handled:
        found = latest(record.headers)
        creation, flow, _ = telemetry.propagation.extract(record.headers, found, source.topic)
        if creation is not None and len(links) < MAX_LINKS:
            links.append(link_to(creation, record))
        agreed = dict(flow if agreed is None else agreed.items() & flow.items())
        if REPLAY_GROUP in found:
            continue
        origin_ms = parse_origin(flow.get(semconv.ORIGIN))
        if origin_ms is not None and (oldest_ms is None or origin_ms < oldest_ms):
            oldest, oldest_ms = flow, origin_ms
        if record.timestamp >= 0:
            durations = source.arrivals.of(flow)
            arrived.append(Arrived(record, now_ms - record.timestamp, origin_ms, durations))
    whole = {name: value for name, value in (agreed or {}).items() if name not in _FLOW}
    whole |= {name: oldest[name] for name in _FLOW if name in oldest}
    return FanIn(whole, tuple(links), tuple(arrived))
