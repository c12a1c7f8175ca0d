"""Recording rules for queries that are too slow to run each time a dashboard opens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dashboards.durations import seconds_of
from dashboards.model.labels import (
    OBJECTIVE,
    RECORDED_ARRIVED,
    RECORDED_BEFORE_SAGAS,
    RECORDED_ELSEWHERE,
    RECORDED_HELD_UP,
    RECORDED_LAG,
    RECORDED_LAG_TIME,
    RECORDED_ON_THE_WAY,
    RECORDED_WINDOWS,
    recorded_arrivals,
    recorded_flows,
    recorded_late_share,
)
from dashboards.model.promql import Scope
from dashboards.model.rule import Recording
from dashboards.rules.burn_rate import WINDOWS
from dashboards.signals import lag
from dashboards.signals.elsewhere import late_elsewhere
from dashboards.signals.held_up import held_up
from dashboards.signals.known_hops import A_WEEK, all_arrivals_in, remembered_arrivals
from dashboards.signals.late_flows import names_hops, on_the_way, on_the_way_of_sagas
from dashboards.signals.objectives import enough_flows, late_shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.config import Config, Objective

_SHORT: Final = "5m"
_SLOW_FROM_S: Final = 2 * 3600


def make_recordings(config: Config) -> tuple[Recording, ...]:
    """Make all recording rules."""
    # Recording rules query the metrics themselves, except for the hops of a week.
    scope = replace(Scope.of(config), ruleset="")
    with_hops = replace(scope, ruleset=config.prefix, fresh=True)
    longs = {window.long for window in WINDOWS}
    windows = sorted({*longs, *(window.short for window in WINDOWS)}, key=seconds_of)
    return (
        Recording(record=RECORDED_LAG, expr=lag.RECORDS.expr(scope)),
        Recording(record=RECORDED_LAG_TIME, expr=lag.SECONDS.expr(scope)),
        # Rules of a group run in their order, so those below use these of the same moment.
        *(
            Recording(
                record=recorded_arrivals(window),
                expr=all_arrivals_in(replace(with_hops, ruleset="", window=window)),
                slow=_is_slow(window),
            )
            for window in RECORDED_WINDOWS
        ),
        Recording(record=RECORDED_ARRIVED, expr=remembered_arrivals(with_hops)),
        *_on_the_way(with_hops, config.objectives),
        Recording(record=RECORDED_HELD_UP, expr=held_up(replace(with_hops, window=_SHORT))),
        *(
            Recording(
                record=record(window),
                expr=make(replace(with_hops, window=window), config.objectives),
                slow=_is_slow(window),
            )
            for record, make, chosen in (
                (recorded_late_share, late_shares, windows),
                (recorded_flows, enough_flows, sorted(longs, key=seconds_of)),
            )
            for window in chosen
        ),
        Recording(
            record=RECORDED_BEFORE_SAGAS, expr=on_the_way_of_sagas(with_hops, A_WEEK), slow=True
        ),
        Recording(
            record=RECORDED_ELSEWHERE,
            expr=late_elsewhere(replace(with_hops, window=_SHORT), config.objectives),
        ),
    )


def _is_slow(window: str) -> bool:
    return seconds_of(window) > _SLOW_FROM_S


def _on_the_way(scope: Scope, objectives: Sequence[Objective]) -> tuple[Recording, ...]:
    """Make the rule for the hops of objectives that name theirs, and those before."""
    each = [
        f'label_replace({on_the_way(scope, objective, A_WEEK)}, "{OBJECTIVE}", '
        f'"{objective.name}", "", "")'
        for objective in objectives
        if names_hops(objective)
    ]
    if not each:
        return ()
    return (Recording(record=RECORDED_ON_THE_WAY, expr=" or ".join(each), slow=True),)
