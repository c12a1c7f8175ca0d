"""How fast an error budget may be spent before somebody is told.

Two windows have to agree: the long one says that it matters, the short one that it still goes on.
In the long one, enough has to have arrived to judge by.
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
from dashboards.signals.objectives import burn_rate, enough_arrivals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.config import Objective
    from dashboards.model.promql import Scope
    from dashboards.model.rule import Severity


@dataclass(frozen=True, slots=True)
class Window:
    """One speed of spending.

    Attributes:
        name: What it is called.
        long: The long window.
        short: The short window.
        factor: How many times faster than allowed.
        severity: How urgent that is.
    """

    name: str
    long: str
    short: str
    factor: float
    severity: Severity


WINDOWS: Final = (
    Window("Fast", "1h", "5m", 14.4, "critical"),
    Window("Slow", "6h", "30m", 6.0, "critical"),
    Window("Creeping", "3d", "6h", 1.0, "warning"),
)


def burn_rate_alerts(scope: Scope, objectives: Sequence[Objective]) -> tuple[Alert, ...]:
    """Make an alert for each speed.

    Args:
        scope: Where to look; with a ruleset, what it has recorded is asked for.
        objectives: What was promised.
    """
    return tuple(
        Alert(
            name=f"EndToEndBudget{window.name}Burn",
            expr=" and ".join(
                (
                    f"{_burn_rate(scope, objectives, window.long)} > {window.factor:g}",
                    f"{_burn_rate(scope, objectives, window.short)} > {window.factor:g}",
                    _enough(scope, objectives, window.long),
                )
            ),
            wait="2m",
            severity=window.severity,
            summary=f"Pipeline {{{{ $labels.{PIPELINE} }}}} misses its objective "
            f"{{{{ $labels.{OBJECTIVE} }}}}",
            description="So many flows arrived too late that, over the last "
            f"{window.long}, the error budget was spent {{{{ $value | humanize }}}} times faster "
            "than allowed, and it still is. See at which hop the lag begins.",
            board="overview",
            panel="Error budget left",
            labels=(PIPELINE, OBJECTIVE),
        )
        for window in WINDOWS
    )


def _burn_rate(scope: Scope, objectives: Sequence[Objective], window: str) -> str:
    if scope.ruleset:
        return scope.select_recorded(recorded_burn_rate(window))
    return f"({burn_rate(replace(scope, window=window), objectives)})"


def _enough(scope: Scope, objectives: Sequence[Objective], window: str) -> str:
    if scope.ruleset:
        return scope.select_recorded(recorded_arrivals(window))
    return f"({enough_arrivals(replace(scope, window=window), objectives)})"
