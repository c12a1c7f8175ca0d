"""What is worth seeing, as data: panels and rules are both made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.scope import Scope


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which value on something deserves attention.

    Attributes:
        value: The first value that does, in the signal's unit.
        level: `warning` or `critical`; shown in words and in colour.
    """

    value: float
    level: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One thing worth seeing.

    Attributes:
        title: What it is, in a few words.
        description: What it means, and what to do with it.
        unit: Grafana's name of the unit.
        expr: Its PromQL in a scope.
        legend: How its series are called, in Grafana's `{{label}}` notation.
        thresholds: From where on it deserves attention, ascending.
        exemplars: Whether its points lead to traces.
    """

    title: str
    description: str
    unit: str
    expr: Callable[[Scope], str]
    legend: str = ""
    thresholds: tuple[Threshold, ...] = ()
    exemplars: bool = False
