"""End-to-end lag against what was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.labels import GROUP, OBJECTIVE, PIPELINE, TOPIC
from dashboards.signal import Signal
from tracing.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.config import Objective
    from dashboards.scope import Scope


def burn_rate(scope: Scope, objectives: Sequence[Objective]) -> str:
    """How many times faster than allowed each error budget is spent, in the scope's window."""
    return " or ".join(
        f"label_replace(({_late_share(scope, objective)}) / {1 - objective.ratio:.6g}, "
        f'"{OBJECTIVE}", "{objective.name}", "", "")'
        for objective in objectives
    )


def _late_share(scope: Scope, objective: Objective) -> str:
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


def budget_left(objectives: Sequence[Objective]) -> Signal:
    """How much of each error budget is left."""
    promised = "; ".join(
        f"{objective.name}: {objective.ratio:.6g} of arrivals within {objective.within_s:g} s"
        for objective in objectives
    )
    return Signal(
        title="Error budget left",
        description="What is left, over the time shown, of the arrivals that may be later than "
        f"promised ({promised}); below 0 the promise is broken.",
        unit="percentunit",
        expr=lambda scope: f"1 - ({burn_rate(scope, objectives)})",
        legend=f"{{{{{PIPELINE}}}}} {{{{{OBJECTIVE}}}}}",
    )


def _bound(seconds: float) -> str:
    """A bucket's bound as a regular expression: `5` comes by OTLP, and `5.0` from a scrape."""
    whole, _, rest = str(float(seconds)).partition(".")
    return rf"{whole}(\\.0)?" if rest == "0" else rf"{whole}\\.{rest}"
