"""A signal: one measurement, as data. Panels and alerts are both built from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from tracing.metrics.catalog import TELEMETRY_DROPPED

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboards.model.promql import Scope
    from tracing.metrics.metric import Metric


Level = Literal["ok", "warning", "critical"]
OK: Final[Level] = "ok"
NO_SERVICE: Final = "no service reports"
NO_MONITOR: Final = "the lag monitor reports nothing"
NO_SAGAS: Final = "no service reports sagas"
EACH_POINT: Final = "Each bar counts what is new since the one before it."
"""Describes panels of rare events, which show counts: a rate would be 0.00 something."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value from which a level applies.

    Attributes:
        value: Value from which the level applies, in the signal's unit.
        level: The level.
    """

    value: float
    level: Level


def slower_than(*limits_s: float) -> tuple[Threshold, ...]:
    """Return thresholds for a duration; none if there are several limits, which are of others."""
    if len(set(limits_s)) != 1:
        return ()
    return (Threshold(limits_s[0], "warning"), Threshold(limits_s[0] * 2, "critical"))


@dataclass(frozen=True, slots=True)
class ValueMapping:
    """The text for a value that encodes a state.

    Attributes:
        value: The value.
        text: The text to show instead.
        level: The level of that state.
    """

    value: int
    text: str
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One measurement.

    Attributes:
        title: The title of its panel.
        description: What it means, and how to act on it.
        unit: Grafana's name of the unit.
        expr: Returns the PromQL for a scope.
        legend: The legend of its series, in Grafana's `{{label}}` notation.
        thresholds: Values from which a level applies, in ascending order.
        below: The level below the first threshold.
        mappings: Texts for values that encode states.
        exemplars: Whether its points have exemplars that link to traces.
        reporter: A metric that exists while this would be measured; by default, of any service.
            With it and without results, there is nothing to show, and a series says so; without
            both, nothing reports. Signals without one have results whenever something reports:
            what is read from a store has none while the store cannot be read.
        nothing: The value of that series; by default none at all.
        empty: What an empty panel means.
    """

    title: str
    description: str
    unit: str
    expr: Callable[[Scope], str]
    legend: str = ""
    thresholds: tuple[Threshold, ...] = ()
    below: Level = OK
    mappings: tuple[ValueMapping, ...] = ()
    exemplars: bool = False
    reporter: Metric | None = TELEMETRY_DROPPED
    nothing: float | None = None
    empty: str = NO_SERVICE
