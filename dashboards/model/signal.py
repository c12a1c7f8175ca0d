"""What is worth seeing, as data: panels and rules are both made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.model.promql import Scope


Level = Literal["ok", "warning", "critical"]
OK: Final[Level] = "ok"
LATELY: Final = "counted at each point over the minutes before it"
"""How panels of what is rare are to be read: with counts, where a rate would be 0.00 something."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which value on something is how.

    Attributes:
        value: The first value that is, in the signal's unit.
        level: How much attention it deserves.
    """

    value: float
    level: Level


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a value stands for, where it is no quantity.

    Attributes:
        value: The value.
        text: What is shown in its place.
        level: How much attention it deserves.
    """

    value: int
    text: str
    level: Level


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
        below: What it is below the first threshold.
        meanings: What its values stand for, where they are no quantities.
        exemplars: Whether its points lead to traces.
    """

    title: str
    description: str
    unit: str
    expr: Callable[[Scope], str]
    legend: str = ""
    thresholds: tuple[Threshold, ...] = ()
    below: Level = OK
    meanings: tuple[Meaning, ...] = ()
    exemplars: bool = False
