"""One number that a dashboard shows, beside the truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
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
    """

    name: str
    shown: float | None
    truth: float
    within: float

    @property
    def fits(self) -> bool:
        """Whether it is within its tolerance; nothing is as good as 0."""
        return abs((self.shown or 0.0) - self.truth) <= self.within * self.truth

    def __str__(self) -> str:
        shown = "nothing" if self.shown is None else f"{self.shown:,.2f}"
        mark = "  " if self.fits else "! "
        return f"{mark}{self.name:<58}{shown:>12}{self.truth:>12,.2f}   ± {self.within:.0%}"


def shown(server: PrometheusServer, promql: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return what a query shows, summed by these labels."""
    found: Counter[tuple[str, ...]] = Counter()
    for series in server.query(promql):
        key = tuple(series["metric"].get(label, "") for label in labels)
        found[key] += float(series["value"][1])  # type: ignore[assignment]  # a float
    return dict(found)
