"""The instrumentation itself: what it gives up, cannot parse, and does not believe."""

from __future__ import annotations

from typing import Final

from dashboards.labels import REASON, SERVICE
from dashboards.signal import Signal, Threshold
from tracing.catalog import CLOCK_SKEW, CONTEXT_INVALID, SENT_MESSAGES, TELEMETRY_DROPPED

_WHY: Final = f"{{{{{SERVICE}}}}} {{{{{REASON}}}}}"

DROPPED: Final = Signal(
    title="Telemetry given up",
    description="Spans, links, series and the like that were dropped so that the application could "
    "go on. The log of the service says why, once.",
    unit="cps",
    expr=lambda scope: scope.rate(TELEMETRY_DROPPED, by=(SERVICE, REASON)),
    legend=_WHY,
    thresholds=(Threshold(0.001, "warning"), Threshold(1, "critical")),
)
INVALID: Final = Signal(
    title="Headers that cannot be parsed",
    description="Treated as absent: traces break here. Look who sends them.",
    unit="cps",
    expr=lambda scope: scope.rate(CONTEXT_INVALID, by=(SERVICE, REASON)),
    legend=_WHY,
    thresholds=(Threshold(0.001, "warning"),),
)
SKEW: Final = Signal(
    title="Negative durations",
    description="Clocks of hosts that disagree; counted as 0. Lag is too low where there are many.",
    unit="cps",
    expr=lambda scope: scope.rate(CLOCK_SKEW, by=(SERVICE, REASON)),
    legend=_WHY,
    thresholds=(Threshold(0.1, "warning"),),
)
SERIES: Final = Signal(
    title="Series of each service",
    description="What a service's metrics cost Prometheus. It is bounded by the number of its "
    "topics and groups; where it goes on rising, a label has too many values.",
    unit="short",
    expr=lambda scope: f"count by ({SERVICE}) ({scope.everything()})",
    legend=f"{{{{{SERVICE}}}}}",
    thresholds=(Threshold(10_000, "warning"),),
)
REPORTING: Final = Signal(
    title="Services that report",
    description="Services whose producers have told metrics of late.",
    unit="short",
    expr=lambda scope: f"count(count by ({SERVICE}) ({scope.select(SENT_MESSAGES)}))",
    legend="services",
)
