"""End-to-end lag measured against objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.model.labels import GROUP, OBJECTIVE, PIPELINE, TOPIC
from dashboards.model.promql import ALL
from dashboards.model.signal import Signal, Threshold
from tracing.metrics.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dashboards.config import Objective
    from dashboards.model.promql import Scope


def burn_rates(scope: Scope, objectives: Sequence[Objective]) -> str:
    """Return a query for the burn rate of each error budget; 1 spends exactly the budget."""
    return _for_each(
        objectives,
        lambda objective: f"({_late_share(scope, objective)}) / {1 - objective.ratio:.6g}",
    )


def enough_arrivals(scope: Scope, objectives: Sequence[Objective]) -> str:
    """Return a query for the arrivals in the window; objectives with too few give nothing."""
    return _for_each(
        objectives,
        lambda objective: (
            f"{_arrivals(scope, objective)} * {seconds_of(scope.window)} >= {objective.at_least}"
        ),
    )


def seconds_of(window: str) -> int:
    """Return the length of a window such as `5m`, in seconds."""
    return int(window[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[window[-1]]


def _for_each(objectives: Sequence[Objective], expr: Callable[[Objective], str]) -> str:
    return " or ".join(
        f'label_replace({expr(objective)}, "{OBJECTIVE}", "{objective.name}", "", "")'
        for objective in objectives
    )


def _late_share(scope: Scope, objective: Objective) -> str:
    """Return a query for the share of flows in the window that arrived late."""
    on_time = scope.increase_up_to(
        objective.within_s, END_TO_END_DURATION, *_where(objective), by=(PIPELINE,)
    )
    arrivals = scope.increase(END_TO_END_DURATION, *_where(objective), by=(PIPELINE,), part="count")
    return f"1 - {on_time} / {arrivals}"


def _arrivals(scope: Scope, objective: Objective) -> str:
    """Return a query for arrivals per second."""
    return scope.rate(END_TO_END_DURATION, *_where(objective), by=(PIPELINE,), part="count")


def _where(objective: Objective) -> list[str]:
    return [
        f'{label}=~"{chosen}"'
        for label, chosen in (
            (PIPELINE, objective.pipeline),
            (TOPIC, objective.destination),
            (GROUP, objective.group),
        )
        if chosen != ALL
    ]


def budget_left(objectives: Sequence[Objective]) -> Signal:
    """Make the signal for the rest of each error budget."""
    promised = "; ".join(
        f"{objective.name}: {objective.ratio * 100:.6g} % of arrivals "
        f"within {objective.within_s:g} s"
        for objective in objectives
    )
    return Signal(
        title="Error budget left",
        description="The share of the error budget that is left over the time shown; below 0 the "
        f"objective is missed. Objectives: {promised}.",
        unit="percentunit",
        expr=lambda scope: f"1 - ({burn_rates(scope, objectives)})",
        legend=f"{{{{{PIPELINE}}}}} {{{{{OBJECTIVE}}}}}",
        thresholds=(Threshold(0, "warning"), Threshold(0.25, "ok")),
        below="critical",
    )
