"""One number that a dashboard shows, beside the truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.dashboards.prometheus_server import PrometheusServer


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a dashboard shows.

    Attributes:
        name: What it is.
        shown: What its query returns; `None` for nothing.
        truth: What it should be.
        within: The tolerance, as a share of the truth.
        least: The smallest tolerance, in the figure's unit.
    """

    name: str
    shown: float | None
    truth: float
    within: float
    least: float = 0.0

    @property
    def fits(self) -> bool:
        """Whether it is within its tolerance; nothing is as good as 0."""
        tolerance = max(self.within * abs(self.truth), self.least)
        return abs((self.shown or 0.0) - self.truth) <= tolerance

    def __str__(self) -> str:
        shown = "nothing" if self.shown is None else f"{self.shown:,.3f}"
        mark = "  " if self.fits else "! "
        least = f" or {self.least:g}" if self.least else ""
        numbers = f"{shown:>12}{self.truth:>12,.3f}   ± {self.within:.0%}{least}"
        return f"{mark}{self.name:<78}{numbers}"


def shown(
    server: PrometheusServer, promql: str, *labels: str, at_s: float | None = None
) -> dict[tuple[str, ...], float]:
    """Return what a query shows, summed by these labels; nothing where that is no number.

    Args:
        server: The Prometheus that dashboards read.
        promql: The query.
        labels: The labels.
        at_s: The moment, unix s; by default now.
    """
    found: Counter[tuple[str, ...]] = Counter()
    for series in server.query(promql, at_s):
        value = float(series["value"][1])
        if not isnan(value):
            key = tuple(series["metric"].get(label, "") for label in labels)
            found[key] += value  # type: ignore[assignment]  # a float
    return dict(found)
