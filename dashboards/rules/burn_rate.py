"""How fast an error budget may be spent before somebody is told.

Two windows have to agree: the long one says that it matters, the short one that it still goes on.
The factors are those of the Site Reliability Workbook, chapter 5, for a budget of 30 days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dashboards.labels import OBJECTIVE, PIPELINE
from dashboards.recorded import burn_rate
from dashboards.rules.rule import Alert

if TYPE_CHECKING:
    from dashboards.rules.rule import Severity


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


def burn_rate_alerts() -> tuple[Alert, ...]:
    """Make an alert for each speed."""
    return tuple(
        Alert(
            name=f"EndToEndBudget{window.name}Burn",
            expr=(
                f"{burn_rate(window.long)} > {window.factor:g} and "
                f"{burn_rate(window.short)} > {window.factor:g}"
            ),
            wait="2m",
            severity=window.severity,
            summary=f"Pipeline {{{{ $labels.{PIPELINE} }}}} breaks its promise "
            f"{{{{ $labels.{OBJECTIVE} }}}}",
            description="So many flows arrived too late that, over the last "
            f"{window.long}, the error budget was spent {{{{ $value | humanize }}}} times faster "
            "than allowed, and it still is. Look at which hop the lag begins.",
            board="overview",
        )
        for window in WINDOWS
    )
