"""Recording rules: what would be too slow to ask for at each look at a dashboard."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.model import recorded
from dashboards.model.promql import Scope
from dashboards.model.rule import Recording
from dashboards.rules.burn_rate import WINDOWS
from dashboards.signals import lag
from dashboards.signals.objectives import burn_rate, enough_arrivals, seconds

if TYPE_CHECKING:
    from dashboards.config import Config

_LONG_S: Final = 2 * 3600


def recordings(config: Config) -> tuple[Recording, ...]:
    """Make them."""
    # What is recorded is made of what services tell, never of what is recorded.
    scope = replace(Scope.of(config), ruleset="")
    longs = {window.long for window in WINDOWS}
    windows = sorted({*longs, *(window.short for window in WINDOWS)}, key=seconds)
    return (
        Recording(record=recorded.LAG_RECORDS, expr=lag.RECORDS.expr(scope)),
        Recording(record=recorded.LAG_SECONDS, expr=lag.SECONDS.expr(scope)),
        *(
            Recording(
                record=record(window),
                expr=make(replace(scope, window=window), config.objectives),
                slow=seconds(window) > _LONG_S,
            )
            for record, make, chosen in (
                (recorded.burn_rate, burn_rate, windows),
                (recorded.enough_arrivals, enough_arrivals, sorted(longs, key=seconds)),
            )
            for window in chosen
        ),
    )
