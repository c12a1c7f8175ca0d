"""Signals that users define."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dashboards.model.signal import Signal, Threshold

if TYPE_CHECKING:
    from dashboards.config import Config
    from dashboards.model.promql import Scope
    from dashboards.own import OwnSignal


def own_signals(config: Config) -> dict[str, Signal]:
    """Return the user's signals by name."""
    return {signal.name: _signal(signal) for signal in config.own.signals}


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
    return re.sub(r"\$(window|selector)\b", lambda name: values[name[1]], query).strip()
