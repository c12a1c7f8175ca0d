"""The sizes of what is read, as a histogram: only where `Telemetry(body_sizes=True)` asks for it.

Readers measure, not senders: a client may serialize values itself, and to serialize them twice only
to measure them would cost more than the measurement. A record that is read by two groups counts
twice, as it is transferred twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracing.messaging.process import Processing

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from opentelemetry.trace import Span

    from tracing.messaging.subscription import TypedLane
    from tracing.telemetry import Telemetry


class SizedProcessing(Processing):
    """The handling of one record whose size is recorded, once, whatever its attempts.

    As `Processing` in all else, and for one task like it. A record that is delivered again counts
    again.
    """

    __slots__ = ()

    def _start(self, task: asyncio.Task[Any] | None) -> None:
        super()._start(task)
        lane = self._lane
        # Nothing has started where instrumentation is suppressed. As `record_sizes`, which would
        # double the cost of one record.
        if lane.sizes is not None and self._token is not None:
            lane.sizes.record(lane.transport.body_size(self.record), self.span)


def processing_type(telemetry: Telemetry) -> type[Processing]:
    """Return what handles the records of a consumer.

    Chosen once per consumer: where sizes are off, a record is not even asked whether they are on.

    Args:
        telemetry: What the service's clients share.
    """
    return SizedProcessing if telemetry.body_sizes else Processing


def record_sizes(handled: Iterable[tuple[Any, TypedLane]], span: Span) -> None:
    """Record the sizes of records that are handled at once, in bytes.

    Args:
        handled: The records, each with where records of its type come from.
        span: The span in which they are handled, for exemplars.
    """
    for record, lane in handled:
        if lane.sizes is not None:
            lane.sizes.record(lane.transport.body_size(record), span)
