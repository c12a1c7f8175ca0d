"""The instrumentation itself: dropped telemetry, invalid headers, clock skew and cost."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import REASON, SERVICE, SIGNAL
from dashboards.model.signal import EACH_POINT, Signal, Threshold
from tracing.metrics.catalog import CLOCK_SKEW, CONTEXT_INVALID, EXPORT_TIME, TELEMETRY_DROPPED

_WHY: Final = f"{{{{{SERVICE}}}}} {{{{{REASON}}}}}"

DROPPED: Final = Signal(
    title="Dropped telemetry",
    description="Spans, links, series and the like that were dropped so that the application could "
    f"continue. The service's log has the cause, once. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(TELEMETRY_DROPPED, by=(SERVICE, REASON)),
    legend=_WHY,
    thresholds=(Threshold(1, "warning"), Threshold(100, "critical")),
)
INVALID: Final = Signal(
    title="Invalid headers",
    description="Invalid headers, which are treated as missing: the trace breaks here. Find the "
    f"producer that sends them. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(CONTEXT_INVALID, by=(SERVICE, REASON)),
    legend=_WHY,
    thresholds=(Threshold(1, "warning"),),
)
SKEW: Final = Signal(
    title="Clock skew",
    description="Durations that would be negative because the clocks of two hosts differ. Each "
    f"counts as 0, so many of them make the lag look too low. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(CLOCK_SKEW, by=(SERVICE, REASON)),
    legend=_WHY,
    thresholds=(Threshold(10, "warning"),),
)
SERIES: Final = Signal(
    title="Series by service",
    description="Time series that a service adds to Prometheus. The number depends on its topics "
    "and groups; if it keeps rising, a label has too many values.",
    unit="locale",
    expr=lambda scope: f"count by ({SERVICE}) ({scope.all_metrics()})",
    legend=f"{{{{{SERVICE}}}}}",
    thresholds=(Threshold(10_000, "warning"),),
)
COST: Final = Signal(
    title="CPU time for export",
    description="Share of one core that a service spends on encoding and sending telemetry. The "
    "overhead on each message is not included: `make bench` measures it.",
    unit="percentunit",
    expr=lambda scope: scope.rate(EXPORT_TIME, by=(SERVICE, SIGNAL)),
    legend=f"{{{{{SERVICE}}}}} {{{{{SIGNAL}}}}}",
    thresholds=(Threshold(0.05, "warning"), Threshold(0.2, "critical")),
)
REPORTING: Final = Signal(
    title="Services that report",
    description="Services that have reported metrics in the last five minutes. Each reports from "
    "its start, even when idle.",
    unit="locale",
    expr=lambda scope: f"count(count by ({SERVICE}) ({scope.select(TELEMETRY_DROPPED)}))",
    legend="services",
)
