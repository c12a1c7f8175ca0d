"""Groups that started on history, as their own consumers report it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.promql import aggregate
from dashboards.model.signal import Signal, ValueMapping
from tracing.metrics.catalog import CATCH_UP_RATE, CATCH_UP_REMAINING

if TYPE_CHECKING:
    from dashboards.model.promql import Scope
    from tracing.metrics.metric import Metric

NEVER_S: Final = 365 * 86_400
"""A year, which the lag monitor reports for never: no metric is infinite."""
_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"


def _added_up(scope: Scope, metric: Metric) -> str:
    """Return a gauge of which each consumer reports its own share."""
    return aggregate("sum", (GROUP, TOPIC), scope.alive(scope.select(metric)))


REMAINING: Final = Signal(
    title="History left",
    description="Records until a group reaches the end of the log that it saw when it started on "
    "history. They are no lag of the flow: no objective and no alert counts them.",
    unit="locale",
    expr=lambda scope: _added_up(scope, CATCH_UP_REMAINING),
    legend=_HOP,
)
RATE: Final = Signal(
    title="History per second",
    description="Records of its history that a group works off per second. At 0 with records left, "
    "the group is stuck: see its status.",
    unit="recps",
    expr=lambda scope: _added_up(scope, CATCH_UP_RATE),
    legend=_HOP,
)


def _time_left(scope: Scope) -> str:
    """Return a query for the time left by the slope of the history left, in seconds."""
    remaining = REMAINING.expr(scope)
    falling = f"(deriv(({remaining})[5m:30s]) < 0)"
    left = f"clamp_max({remaining} / -{falling}, {NEVER_S})"
    return f"{left} or ({remaining} > 0) * 0 + {NEVER_S} or {remaining}"


TIME_LEFT: Final = Signal(
    title="Time until caught up",
    description="How long a group needs for the rest of its history, if that goes on to shrink as "
    "in the last five minutes. Never, if it does not shrink.",
    unit="s",
    expr=_time_left,
    legend=_HOP,
    mappings=(ValueMapping(NEVER_S, "never", "critical"),),
)
