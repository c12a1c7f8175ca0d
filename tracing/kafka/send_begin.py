"""How a producer's sends begin, on the flat path or in the general way, and what they are given."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from opentelemetry.context import get_current

from tracing.core.otel_context import SUPPRESSED
from tracing.messaging.flat.engine import engine_of
from tracing.messaging.send import begin_send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracing.headers.codec import Header
    from tracing.kafka.batch import TracedBatch
    from tracing.messaging.destination import Destination
    from tracing.messaging.flat.send import FlatSending
    from tracing.messaging.send import Sending
    from tracing.telemetry import Telemetry

    Begun = Sending | FlatSending


def flat_begin(
    telemetry: Telemetry, destinations: Mapping[str, Destination]
) -> Callable[[str, object, object, object, list[Header]], Begun | None] | None:
    """Return what begins a send on the flat path; `None` where no send may take it.

    It takes topic, value, key, partition and the application's headers in a list of our own. What
    is unusual about one send it leaves to the general code itself. It never raises.

    Args:
        telemetry: What the service's clients share.
        destinations: The values that sends to a topic share, by topic.
    """
    engine = engine_of(telemetry)
    if engine is None:
        return None
    from tracing.messaging.flat.dropped_sends import dropped_first  # noqa: PLC0415 - needs the SDK
    from tracing.messaging.flat.sends import FlatSends  # noqa: PLC0415 - as above

    general = partial(begin_send_or_none, telemetry, destinations)
    sends = FlatSends(engine, telemetry, destinations, general)
    if engine.spans.drops_roots or engine.spans.ratio_bound is not None:
        return dropped_first(sends, engine, telemetry)
    return sends.begin


def begin_send_or_none(
    telemetry: Telemetry,
    destinations: Mapping[str, Destination],
    topic: str,
    value: object,
    key: object,
    partition: object,
    headers: list[Header],
) -> Sending | None:
    """Begin a send in the general way; `None` where it has no telemetry. Never raises."""
    try:
        if get_current().get(SUPPRESSED):
            return None
        return begin_send(telemetry, destinations[topic], headers, (key, value, partition))
    except Exception as fault:
        telemetry.diagnostics.failed("send", fault)
        return None


def record_in(
    topic: str,
    value: object = None,
    key: object = None,
    partition: object = None,
    *_others: object,
    **_named: object,
) -> tuple[str, object, object, object]:
    """Return topic, value, key and partition of a call of `send`.

    Raises:
        TypeError: It has no topic.
    """
    return topic, value, key, partition


def batch_in(
    batch: TracedBatch, topic: str, *, partition: int, **_named: object
) -> tuple[TracedBatch, str, int]:
    """Return batch, topic and partition of a call of `send_batch`.

    Raises:
        TypeError: It lacks one of them.
    """
    return batch, topic, partition
