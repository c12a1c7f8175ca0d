"""Sends that begin traces which the sampler drops: the shortest way through the flat path.

Where a service samples little or nothing, most of its messages are such: without a span around them
and without headers of their own. Nothing has to be asked about them, and what they share is there.
"""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Final, NamedTuple

from tracing.core.bounded import BoundedDict
from tracing.core.ids import MESSAGE_IDS, random_id
from tracing.headers.cloudevents import ID
from tracing.headers.w3c import TRACEPARENT
from tracing.messaging.flat.send import UnrecordedSending

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.headers.codec import Header
    from tracing.messaging.flat.engine import Engine
    from tracing.messaging.flat.send import FlatSending
    from tracing.messaging.flat.send_plan import SendPlan
    from tracing.messaging.flat.sends import FlatSends
    from tracing.messaging.send import Sending
    from tracing.metrics.instruments import Durations
    from tracing.telemetry import Telemetry

    Begin = Callable[[str, object, object, object, list[Header]], Sending | FlatSending | None]

# How often waiting values are counted: at every 1,024th send.
_UNCOUNTED: Final = 0x3FF


class _Plain(NamedTuple):
    """What sends without headers of their own to one topic share.

    Its plan, the headers that are constant, and what receives the times to publish.
    """

    send: SendPlan
    version: Header
    source: Header
    kind: Header
    published: Durations


def dropped_first(  # noqa: C901 - calls cost more
    sends: FlatSends, engine: Engine, telemetry: Telemetry
) -> Begin:
    """Return what begins sends as `FlatSends.begin`, and those of dropped traces by itself.

    Args:
        sends: Begins all others.
        engine: The telemetry's; its sampler drops new traces for certain, or a ratio of them.
        telemetry: What the service's clients share.
    """

    def plain(topic: str) -> _Plain | None:
        send = sends.plan_of_plain(topic)
        if send is None or send.topic.constant is None:
            return None
        version, source, kind = send.topic.constant
        return _Plain(send, version, source, kind, send.topic.begun or send.topic.published())

    spans = engine.spans
    ratio_bound, root_by_ratio = spans.ratio_bound, spans.root_by_ratio
    current, taken, begin = engine.current.get, engine.taken, sends.begin
    moments, ends_in = sends.moments, sends.ends_in
    take_root, new_root = spans.dropped_roots.take, spans.dropped_roots.new
    take_id, topics = MESSAGE_IDS.take, BoundedDict(plain)
    make = UnrecordedSending

    def begin_dropped(
        topic: str, value: object, key: object, partition: object, headers: list[Header]
    ) -> Sending | FlatSending | None:
        """Begin a send; see `FlatSends.begin`. Never raises."""
        if headers or (context := current()) or telemetry.describe_schema is not None:
            return begin(topic, value, key, partition, headers)
        try:
            shared = topics[topic]
            if shared is None:
                return begin(topic, value, key, partition, headers)
            if ratio_bound is None:
                try:
                    traceparent = take_root()
                except IndexError:
                    traceparent = new_root()
            else:
                sampled, root = root_by_ratio(ratio_bound)
                if sampled or root is None:
                    return begin(topic, value, key, partition, headers, root)
                traceparent = root
            taken["send"] = number = taken["send"] + 1
            if not number & _UNCOUNTED:
                telemetry.metrics.count_later()
            now_ns = time_ns()
            since_ns, until_ns, now_ms, time, baggage = moments.last
            if not since_ns <= now_ns < until_ns:
                _, _, now_ms, time, baggage = moments.at(now_ns)
            try:
                made = take_id()
            except IndexError:
                made = random_id()
            sending = make()
            sending.send, version, source, kind, sending.published = shared
            sending.headers = [
                (ID, made), time, version, source, kind, (TRACEPARENT, traceparent), baggage,
            ]  # fmt: skip
            sending.sent_in = context
            sending.ends_in = ends_in
            sending.created_ms = now_ms
            sending.started = perf_counter()
            return sending  # noqa: TRY300 - what precedes it may fail
        except Exception as fault:
            telemetry.diagnostics.failed("send", fault)
            return None

    return begin_dropped
