"""Signals that users define."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from dashboards.config import ConfigError, check_filled
from dashboards.model.promql import Scope
from dashboards.model.query_syntax import QueryError, kept_labels
from dashboards.model.signal import Signal, Threshold

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.own import OwnSignal

# `$1` of `label_replace` is none.
_VARIABLE: Final = re.compile(r"\$\{?([A-Za-z_]\w*)[^}\s]*?\}?|\[\[([A-Za-z_]\w*)[^\]]*\]\]")
_WINDOWS: Final = frozenset({"__interval", "__range", "__rate_interval", "interval"})
_NUMBERS: Final = frozenset({"__from", "__interval_ms", "__range_ms", "__range_s", "__to"})
GRAFANAS: Final = (_WINDOWS - {"interval"}) | _NUMBERS
"""The variables that every dashboard has."""


def own_signals(config: Config) -> dict[str, Signal]:
    """Return the user's signals by name.

    Raises:
        ConfigError: Prometheus or Grafana would not accept one of them.
    """
    for number, signal in enumerate(config.own.signals):
        _check(signal, f"own.signals[{number}]", config)
    return {signal.name: _signal(signal) for signal in config.own.signals}


def labels_of_own(query: str) -> frozenset[str] | None:
    """Return the labels that a query keeps, with values in place of Grafana's variables.

    Raises:
        QueryError: Prometheus would not accept it.
    """
    return kept_labels(_VARIABLE.sub(_example, query))


def variables_in(text: str) -> set[str]:
    """Return the names of the variables that Grafana replaces in a text."""
    return {dollar or brackets for dollar, brackets in _VARIABLE.findall(text)}


def _example(variable: re.Match[str]) -> str:
    name = variable[1] or variable[2]
    return "5m" if name in _WINDOWS else "1" if name in _NUMBERS else variable[0]


def _check(signal: OwnSignal, where: str, config: Config) -> None:
    for name in ("name", "title", "description", "query", "unit"):
        check_filled(f"{where}.{name}", getattr(signal, name))
    try:
        labels_of_own(_filled(signal.query, Scope.of(config, window="5m")))
    except QueryError as error:
        raise ConfigError(f"{where}.query: {signal.query!r} {error}") from error
    values = [threshold.value for threshold in signal.thresholds]
    if not all(map(math.isfinite, values)):
        raise ConfigError(f"{where}.thresholds: each value must be a number, not {values}")
    if any(lower >= higher for lower, higher in pairwise(values)):
        raise ConfigError(f"{where}.thresholds: the values must ascend, unlike {values}")


def _signal(signal: OwnSignal) -> Signal:
    return Signal(
        title=signal.title,
        description=signal.description,
        unit=signal.unit,
        expr=lambda scope: _filled(signal.query, scope),
        legend=signal.legend,
        thresholds=tuple(Threshold(each.value, each.level) for each in signal.thresholds),
        # Which service reports the user's metric is unknown.
        reporter=None,
        empty="no data",
    )


def _filled(query: str, scope: Scope) -> str:
    values = {
        "window": scope.window,
        "selector": ", ".join(f'{name}="{value}"' for name, value in scope.selector.items()),
    }
    query = re.sub(r"\$\{(window|selector)\}", r"$\1", query)
    if not values["selector"]:
        # A comma beside nothing is an error.
        query = re.sub(r"\$selector\s*,|,\s*\$selector\b", "", query)
    return re.sub(r"\$(window|selector)\b", lambda name: values[name[1]], query).strip()
