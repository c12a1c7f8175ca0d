"""The instrumentation itself: what it gives up, cannot parse, and does not believe."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import REASON, SERVICE, SIGNAL
from dashboards.model.signal import LATELY, Signal, Threshold
from tracing.metrics.catalog import CLOCK_SKEW, CONTEXT_INVALID, EXPORT_TIME, TELEMETRY_DROPPED

_WHY: Final = f"{{{{{SERVICE}}}}} {{{{{REASON}}}}}"

DROPPED: Final = Signal(
    title="Dropped telemetry",
    description="Spans, links, series and the like that were dropped so that the application could "
    f"go on, {LATELY}. The log of the service says why, once.",
    unit="locale",
    expr=lambda scope: scope.grown(TELEMETRY_DROPPED, by=(SERVICE, REASON)),
    legend=_WHY,
    thresholds=(Threshold(1, "warning"), Threshold(100, "critical")),
)
INVALID: Final = Signal(
    title="Headers that cannot be parsed",
    description=f"Treated as absent: traces break here. Find out who sends "
    f"them. Headers, {LATELY}.",
    unit="locale",
    expr=lambda scope: scope.grown(CONTEXT_INVALID, by=(SERVICE, REASON)),
    legend=_WHY,
    thresholds=(Threshold(1, "warning"),),
)
SKEW: Final = Signal(
    title="Clock skew",
    description="Clocks of hosts that disagree; such a duration counts as 0, so lag is too low "
    f"where there are many. Durations, {LATELY}.",
    unit="locale",
    expr=lambda scope: scope.grown(CLOCK_SKEW, by=(SERVICE, REASON)),
    legend=_WHY,
    thresholds=(Threshold(10, "warning"),),
)
SERIES: Final = Signal(
    title="Series of each service",
    description="What a service's metrics cost Prometheus. It is bounded by the number of its "
    "topics and groups; where it goes on rising, a label has too many values.",
    unit="locale",
    expr=lambda scope: f"count by ({SERVICE}) ({scope.everything()})",
    legend=f"{{{{{SERVICE}}}}}",
    thresholds=(Threshold(10_000, "warning"),),
)
COST: Final = Signal(
    title="CPU for exporting",
    description="How much of one core a service's encoding and sending of telemetry takes. What is "
    "done beside each message is not in it: `make bench` measures that.",
    unit="percentunit",
    expr=lambda scope: scope.rate(EXPORT_TIME, by=(SERVICE, SIGNAL)),
    legend=f"{{{{{SERVICE}}}}} {{{{{SIGNAL}}}}}",
    thresholds=(Threshold(0.05, "warning"), Threshold(0.2, "critical")),
)
REPORTING: Final = Signal(
    title="Services that report",
    description="Services that have reported in the last minutes. Each does from its "
    "start, also if nothing happens.",
    unit="locale",
    expr=lambda scope: f"count(count by ({SERVICE}) ({scope.select(TELEMETRY_DROPPED)}))",
    legend="services",
)
