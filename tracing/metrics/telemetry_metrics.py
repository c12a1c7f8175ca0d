"""The metrics of the instrumentation itself.

They are part of the catalogue, which is where other modules take them from.
"""

from typing import Final

from tracing.core import semconv
from tracing.metrics.metric import Metric

CONTEXT_INVALID: Final = Metric(
    name="pipeline.context.invalid",
    kind="counter",
    unit="{header}",
    description="Headers that could not be used and were treated as absent.",
    labels=(semconv.REASON,),
)
CLOCK_SKEW: Final = Metric(
    name="pipeline.clock_skew",
    kind="counter",
    unit="{duration}",
    description="Negative durations between hosts that were clamped to zero.",
    labels=(semconv.REASON,),
)
TELEMETRY_DROPPED: Final = Metric(
    name="pipeline.telemetry.dropped",
    kind="counter",
    unit="{item}",
    description="Telemetry that was dropped so that the application could continue.",
    labels=(semconv.REASON,),
)
EXPORT_TIME: Final = Metric(
    name="pipeline.telemetry.export.time",
    kind="counter",
    unit="s",
    description="CPU time that encoding and sending telemetry took, by signal.",
    labels=(semconv.SIGNAL,),
)
