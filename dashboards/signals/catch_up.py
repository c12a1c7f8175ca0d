"""Groups that started on history, as their own consumers report it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, TOPIC
from dashboards.model.promql import aggregate
from dashboards.model.signal import Signal
from tracing.metrics.catalog import CATCH_UP_RATE, CATCH_UP_REMAINING

if TYPE_CHECKING:
    from dashboards.model.promql import Scope
    from tracing.metrics.metric import Metric

_HOP: Final = f"{{{{{GROUP}}}}} ← {{{{{TOPIC}}}}}"


def _added_up(scope: Scope, metric: Metric) -> str:
    """Return a gauge of which each consumer reports its own share."""
    return aggregate("sum", (GROUP, TOPIC), scope.select(metric))


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
TIME_LEFT: Final = Signal(
    title="Time until caught up",
    description="How long a group needs for the rest of its history at the present rate.",
    unit="s",
    expr=lambda scope: f"{REMAINING.expr(scope)} / ({RATE.expr(scope)} > 0)",
    legend=_HOP,
)
