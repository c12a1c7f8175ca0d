"""End-to-end lag against what was promised."""

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


def burn_rate(scope: Scope, objectives: Sequence[Objective]) -> str:
    """How many times faster than allowed each error budget is spent, in the scope's window."""
    return _of_each(
        objectives,
        lambda objective: f"({_late_share(scope, objective)}) / {1 - objective.ratio:.6g}",
    )


def enough_arrivals(scope: Scope, objectives: Sequence[Objective]) -> str:
    """How many arrived in the scope's window, of those objectives of which enough did."""
    return _of_each(
        objectives,
        lambda objective: (
            f"{_arrivals(scope, objective)} * {seconds(scope.window)} >= {objective.at_least}"
        ),
    )


def seconds(window: str) -> int:
    """How long a window such as `5m` is, in s."""
    return int(window[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[window[-1]]


def _of_each(objectives: Sequence[Objective], expr: Callable[[Objective], str]) -> str:
    return " or ".join(
        f'label_replace({expr(objective)}, "{OBJECTIVE}", "{objective.name}", "", "")'
        for objective in objectives
    )


def _late_share(scope: Scope, objective: Objective) -> str:
    """The share of flows that arrived later than promised, in the scope's window."""
    bound = f'le=~"{_bound(objective.within_s)}"'
    in_time = scope.rate(
        END_TO_END_DURATION, *_where(objective), bound, by=(PIPELINE,), part="bucket"
    )
    return f"1 - {in_time} / {_arrivals(scope, objective)}"


def _arrivals(scope: Scope, objective: Objective) -> str:
    """Per second."""
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
    """How much of each error budget is left."""
    promised = "; ".join(
        f"{objective.name}: {objective.ratio * 100:.6g} % of arrivals "
        f"within {objective.within_s:g} s"
        for objective in objectives
    )
    return Signal(
        title="Error budget left",
        description="Over the time shown: what is left of the arrivals that may be later than "
        f"promised ({promised}); below 0 the promise is broken.",
        unit="percentunit",
        expr=lambda scope: f"1 - ({burn_rate(scope, objectives)})",
        legend=f"{{{{{PIPELINE}}}}} {{{{{OBJECTIVE}}}}}",
        thresholds=(Threshold(0, "warning"), Threshold(0.25, "ok")),
        below="critical",
    )


def _bound(seconds: float) -> str:
    """A bucket's bound as a regular expression: `5` comes by OTLP, and `5.0` from a scrape."""
    whole, _, rest = str(float(seconds)).partition(".")
    return rf"{whole}(\\.0)?" if rest == "0" else rf"{whole}\\.{rest}"
