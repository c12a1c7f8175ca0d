"""Alerts on how fast an error budget is spent.

Two windows have to agree: the long one shows that enough of the budget is lost to matter, the
short one that the loss continues. The long window must also hold enough arrivals.
The factors are those of the Site Reliability Workbook, chapter 5, for a budget of 30 days.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from dashboards.model.labels import (
    OBJECTIVE,
    PIPELINE,
    recorded_arrivals,
    recorded_burn_rate,
)
from dashboards.model.rule import Alert
from dashboards.signals.objectives import burn_rates, enough_arrivals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.config import Objective
    from dashboards.model.promql import Scope
    from dashboards.model.rule import Severity


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """The windows and the factor of one alert.

    Attributes:
        name: The part of the alert's name.
        long: The long window.
        short: The short window.
        factor: The burn rate above which the alert fires; 1 spends exactly the budget.
        severity: The alert's severity.
    """

    name: str
    long: str
    short: str
    factor: float
    severity: Severity


WINDOWS: Final = (
    BurnWindow("Fast", "1h", "5m", 14.4, "critical"),
    BurnWindow("Medium", "6h", "30m", 6.0, "critical"),
    BurnWindow("Slow", "3d", "6h", 1.0, "warning"),
)


def burn_rate_alerts(scope: Scope, objectives: Sequence[Objective]) -> tuple[Alert, ...]:
    """Make one alert for each pair of windows.

    Args:
        scope: The scope of the queries; with a ruleset, they use recorded series.
        objectives: The objectives to alert on.
    """
    return tuple(
        Alert(
            name=f"EndToEndErrorBudget{window.name}Burn",
            expr=" and ".join(
                (
                    f"{_burn_rate(scope, objectives, window.long)} > {window.factor:g}",
                    f"{_burn_rate(scope, objectives, window.short)} > {window.factor:g}",
                    _enough_arrivals(scope, objectives, window.long),
                )
            ),
            wait="2m",
            severity=window.severity,
            summary=f"Pipeline {{{{ $labels.{PIPELINE} }}}}: too many flows arrive late for the "
            f"objective {{{{ $labels.{OBJECTIVE} }}}}",
            description=f"Over the last {window.long}, so many flows arrived late that the error "
            "budget is being spent {{ $value | humanize }} times faster than allowed. See at which "
            "hop the lag begins.",
            board="overview",
            panel="Error budget left",
            labels=(PIPELINE, OBJECTIVE),
        )
        for window in WINDOWS
    )


def _burn_rate(scope: Scope, objectives: Sequence[Objective], window: str) -> str:
    if scope.ruleset:
        return scope.select_recorded(recorded_burn_rate(window))
    return f"({burn_rates(replace(scope, window=window), objectives)})"


def _enough_arrivals(scope: Scope, objectives: Sequence[Objective], window: str) -> str:
    if scope.ruleset:
        return scope.select_recorded(recorded_arrivals(window))
    return f"({enough_arrivals(replace(scope, window=window), objectives)})"
