"""End-to-end lag against what was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.labels import GROUP, PIPELINE, TOPIC
from dashboards.signal import Signal
from tracing.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from dashboards.config import Objective
    from dashboards.scope import Scope


def late_share(scope: Scope, objective: Objective) -> str:
    """The share of flows that arrived later than promised, in the scope's window."""
    mine = ", ".join(
        f'{label}=~"{chosen}"'
        for label, chosen in (
            (PIPELINE, objective.pipeline),
            (TOPIC, objective.destination),
            (GROUP, objective.group),
        )
        if chosen != ".*"
    )
    bound = f'le=~"{_bound(objective.within_s)}"'
    by = (PIPELINE,)
    where = (mine,) if mine else ()
    in_time = scope.rate(END_TO_END_DURATION, *where, bound, by=by, part="bucket")
    return f"1 - {in_time} / {scope.rate(END_TO_END_DURATION, *where, by=by, part='count')}"


def budget_left(objective: Objective) -> Signal:
    """How much of the error budget is left."""
    allowed = 1 - objective.ratio
    return Signal(
        title="Error budget left",
        description=f"{objective.ratio:.4%} of arrivals are to have an end-to-end lag of at most "
        f"{objective.within_s:g} s. What is left of the rest that may be later, over the time "
        "shown; below 0 the promise is broken.",
        unit="percentunit",
        expr=lambda scope: f"1 - ({late_share(scope, objective)}) / {allowed:g}",
        legend=f"{{{{{PIPELINE}}}}}",
    )


def _bound(seconds: float) -> str:
    """A bucket's bound as a regular expression: `5` comes by OTLP, and `5.0` from a scrape."""
    whole, _, rest = str(float(seconds)).partition(".")
    return rf"{whole}(\\.0)?" if rest == "0" else rf"{whole}\\.{rest}"
