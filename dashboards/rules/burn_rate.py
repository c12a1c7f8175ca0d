"""Alerts on how fast an error budget is spent.

Two windows have to agree: the long one shows that enough of the budget is lost to matter, the
short one that the loss continues. The long window must also hold enough flows.
The factors are those of the Site Reliability Workbook, chapter 5, for a budget of 30 days. Their
shortest window takes nine minutes to notice that nothing arrives at all, so an alert on the share
itself comes before them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from dashboards.durations import seconds_of
from dashboards.model.labels import (
    COUNTED,
    ELSEWHERE,
    GROUP,
    OBJECTIVE,
    PIPELINE,
    RECORDED_ELSEWHERE,
    RECORDED_HELD_UP,
    REPLAYED,
    SAGA,
    TOPIC,
    recorded_flows,
    recorded_late_share,
)
from dashboards.model.rule import Alert, Beside, found_by
from dashboards.signals import lag
from dashboards.signals.elsewhere import halted_lately
from dashboards.signals.known_hops import FLOW_HOP
from dashboards.signals.late_flows import hops_on_the_way
from dashboards.signals.objectives import enough_flows, late_shares
from tracing.metrics.catalog import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.config import Objective
    from dashboards.model.promql import Scope
    from dashboards.model.rule import Severity

OUTAGE_SHARE: Final = 0.3
"""Share of flows in five minutes that makes an outage: all of them for a minute and a half."""
_OUTLASTS_REPAIRS: Final = "30m"
"""The short window of alerts that would page for half an hour after a repair."""
_REPAIRED_WITHIN: Final = "1h"


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """The windows and the factor of one alert.

    Attributes:
        name: The alert's name.
        long: The long window.
        short: The short window.
        factor: The burn rate above which the alert fires; 1 spends exactly the budget. Without
            one, it fires above the share of an outage, or of what the objective allows.
        wait: How long that must hold; by default until two exports confirm it.
        severity: The alert's severity.
        spent: What the rate means, in words.
    """

    name: str
    long: str
    short: str
    factor: float | None
    wait: str | None
    severity: Severity
    spent: str


WINDOWS: Final = (
    BurnWindow(
        "EndToEndOutage", "5m", "5m", None, "30s", "critical",
        "Something in the pipeline does not work at all."
    ),
    BurnWindow(
        "EndToEndErrorBudgetFastBurn", "1h", "5m", 14.4, None, "critical",
        "At this rate, the error budget of 30 days is spent within two days."
    ),
    BurnWindow(
        "EndToEndErrorBudgetMediumBurn", "6h", "30m", 6.0, None, "critical",
        "At this rate, the error budget of 30 days is spent within five days."
    ),
    BurnWindow(
        "EndToEndErrorBudgetSlowBurn", "3d", "6h", 1.0, None, "warning",
        "That is more than the objective allows. It can wait for working hours."
    ),
)  # fmt: skip


def burn_rate_alerts(scope: Scope, objectives: Sequence[Objective]) -> tuple[Alert, ...]:
    """Make one alert for each pair of windows.

    Args:
        scope: The scope of the queries; with a ruleset, they use recorded series.
        objectives: The objectives to alert on.
    """
    return tuple(
        Alert(
            name=window.name,
            expr=" or ".join(_too_many_late(scope, each, window) for each in objectives),
            wait=window.wait or scope.wait,
            severity=window.severity,
            summary=f"Pipeline {{{{ $labels.{PIPELINE} }}}}: {{{{ $value | humanizePercentage }}}} "
            f"of the flows of the last {window.long} are late or stuck",
            description=f"They miss the objective {{{{ $labels.{OBJECTIVE} }}}}: they arrived "
            f"late, wait, became dead letters, or are overdue sagas. {window.spent} See at which "
            "hop the lag begins.",
            board="overview",
            panel="Error budget left",
            labels=(PIPELINE, OBJECTIVE),
            over=max(window.long, "1h", key=seconds_of),
            found=_where(scope, objectives),
            beside=_where_records_wait(scope, objectives),
        )
        for window in WINDOWS
    )


def _where(scope: Scope, objectives: Sequence[Objective]) -> str:
    """Return sentences about where flows of an objective are held up, given up on or overdue.

    A hop that holds them up for less than the objective allows is no reason.
    """
    if not scope.ruleset:
        return ""
    labels = (PIPELINE, OBJECTIVE)
    chosen = f'label_replace(vector(1), "{OBJECTIVE}", %[2]q, "", "")'
    chosen = f'on ({", ".join(labels)}) label_replace({chosen}, "{PIPELINE}", %[1]q, "", "")'
    now = replace(scope, window=WINDOWS[0].short)
    held_up = scope.select_recorded(RECORDED_HELD_UP)
    given_up = now.increase(DEAD_LETTERS, f'{REPLAYED}=""', by=FLOW_HOP)
    hops = {each: hops_on_the_way(scope, each) for each in objectives}
    longest = " or ".join(
        _named(f"({held_up} > {each.within_s:g} and on ({', '.join(FLOW_HOP)}) {its})", each)
        for each, its in hops.items()
    )
    most = " or ".join(
        _named(f"({given_up} and on ({', '.join(FLOW_HOP)}) {its})", each)
        for each, its in hops.items()
    )
    overdue = scope.select_recorded(recorded_late_share(now.window), where=f'{COUNTED}="saga"')
    return (
        found_by(
            f"topk(1, ({longest}) and {chosen})",
            labels,
            f"The longest hold-up is at group {{{{ .Labels.{GROUP} }}}} on "
            f"{{{{ .Labels.{TOPIC} }}}}: {{{{ .Value | humanizeDuration }}}}.",
        )
        + found_by(
            f"topk(1, ({most}) > 0 and {chosen})",
            labels,
            f"Within {now.window}, group {{{{ .Labels.{GROUP} }}}} gave up on {{{{ .Value | printf "
            f'"%.0f" }}}} records of {{{{ .Labels.{TOPIC} }}}}.',
        )
        + found_by(
            f"topk(1, {overdue} > 0 and {chosen})",
            labels,
            f"Of the sagas {{{{ .Labels.{SAGA} }}}}, {{{{ .Value | humanizePercentage }}}} became "
            "overdue.",
        )
    )


def _where_records_wait(scope: Scope, objectives: Sequence[Objective]) -> Beside:
    """Return the hop of each pipeline at which the oldest record waits, which is cheap to ask."""
    each = f"* on ({GROUP}, {TOPIC}) group_left () {lag.SECONDS.expr(scope)}"
    return Beside(
        query=" or ".join(
            _named(
                f"topk by ({PIPELINE}) (1, {hops_on_the_way(scope, objective)} {each} "
                f"> {objective.within_s:g})",
                objective,
            )
            for objective in objectives
        ),
        label=GROUP,
        text=f"The oldest record waits for group {{{{ .Labels.{GROUP} }}}} on "
        f"{{{{ .Labels.{TOPIC} }}}}: {{{{ .Value | humanizeDuration }}}}.",
    )


def _named(query: str, objective: Objective) -> str:
    return f'label_replace({query}, "{OBJECTIVE}", "{objective.name}", "", "")'


def _too_many_late(scope: Scope, objective: Objective, window: BurnWindow) -> str:
    # Windows are compared before the worst series is chosen: it may differ between them.
    allowed = 1 - objective.ratio
    share = window.factor * allowed if window.factor else max(OUTAGE_SHARE, allowed)
    limit = f"{share:.6g}"
    late = [f"{_late_share(scope, objective, window.long)} > {limit}"]
    if window.short != window.long:
        late.append(f"{_late_share(scope, objective, window.short)} > {limit}")
    both = " and ".join([*late, _enough_flows(scope, objective, window.long)])
    pipelines = f"max by ({PIPELINE}, {OBJECTIVE}) ({both})"
    if not scope.ruleset:  # Grafana has no rules that silence alerts
        return pipelines
    if window.short == _OUTLASTS_REPAIRS:
        pipelines = f"({pipelines} unless {_repaired(scope, objective, limit)})"
    other = scope.select_recorded(RECORDED_ELSEWHERE, where=_of(objective))
    # For a moment, a group that has just died is not known to be dead.
    elsewhere = f"on ({PIPELINE}) (count_over_time(({other} > {limit})[2m:30s]) >= 4)"
    return (
        f'label_replace({pipelines} and {elsewhere}, "{ELSEWHERE}", "true", "", "") '
        f"or {pipelines} unless {elsewhere}"
    )


def _repaired(scope: Scope, objective: Objective, limit: str) -> str:
    """Return a query for the pipelines whose flows are in time since a group was repaired.

    The alert on that group has ended, and silences nothing any longer.
    """
    share = f"max by ({PIPELINE}, {OBJECTIVE}) ({_late_share(scope, objective, WINDOWS[0].short)})"
    lately = halted_lately(replace(scope, window=_REPAIRED_WITHIN))
    return f"({share} <= {limit} and on ({PIPELINE}) {lately})"


def _late_share(scope: Scope, objective: Objective, window: str) -> str:
    if scope.ruleset:
        return scope.select_recorded(recorded_late_share(window), where=_of(objective))
    return f"({late_shares(replace(scope, window=window, fresh=True), [objective])})"


def _enough_flows(scope: Scope, objective: Objective, window: str) -> str:
    if scope.ruleset:
        return scope.select_recorded(recorded_flows(window), where=_of(objective))
    return f"({enough_flows(replace(scope, window=window, fresh=True), [objective])})"


def _of(objective: Objective) -> str:
    return f'{OBJECTIVE}="{objective.name}"'
