"""End-to-end lag measured against objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import GROUP, NOTE, OBJECTIVE, PIPELINE, TOPIC
from dashboards.model.promql import aggregate
from dashboards.model.signal import Signal, Threshold, ValueMapping, slower_than
from dashboards.signals.known_hops import known_hops, known_pipelines_before
from dashboards.signals.late_flows import KIND, counted, hops_on_the_way, matchers
from tracing.metrics.catalog import CONSUMER_LAG_TIME, END_TO_END_DURATION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dashboards.config import Objective
    from dashboards.model.promql import Scope

_HOP: Final = (GROUP, TOPIC)
_TWICE: Final = -1
"""The rest of a budget of which twice as much is spent; how much more is nothing to act on."""


def late_shares(scope: Scope, objectives: Sequence[Objective]) -> str:
    """Return a query for the share of flows that are late or stuck, by what they are counted by."""
    return _for_each(
        objectives,
        lambda objective: " or ".join(each.late_share for each in counted(scope, objective)),
    )


def enough_flows(scope: Scope, objectives: Sequence[Objective]) -> str:
    """Return a query for the flows in the window, with the labels of the late shares.

    It returns nothing where there are too few to judge, or where the pipeline is younger than the
    window: one bad quarter of an hour would otherwise be the result of three days.
    """

    def enough(objective: Objective) -> str:
        old = known_pipelines_before(scope, *matchers(objective))
        flows = " or ".join(each.total for each in counted(scope, objective))
        return f"(({flows}) >= {objective.at_least} and on ({PIPELINE}) {old})"

    return _for_each(objectives, enough)


def _for_each(objectives: Sequence[Objective], expr: Callable[[Objective], str]) -> str:
    return " or ".join(
        f'label_replace({expr(objective)}, "{OBJECTIVE}", "{objective.name}", "", "")'
        for objective in objectives
    )


def budget_left(objectives: Sequence[Objective]) -> Signal:
    """Make the signal for the rest of each error budget."""
    promised = "; ".join(
        f"{objective.name}: {objective.ratio * 100:.6g} % of arrivals "
        f"within {objective.within_s:g} s"
        for objective in objectives
    )

    def left(scope: Scope) -> str:
        return " or ".join(
            f"clamp_min(1 - max by ({PIPELINE}, {OBJECTIVE}) "
            f"({late_shares(scope, [objective])}) / {1 - objective.ratio:.6g}, {_TWICE})"
            f" or {_whole(scope, objective)}"
            for objective in objectives
        )

    return Signal(
        title="Error budget left",
        description="The share of the error budget that is left over the time shown; below 0 the "
        "objective is missed, and at -100 % twice the budget is spent, or more. Records that wait "
        "too long, dead letters and overdue sagas count as late. Each type of message at each hop "
        "is judged by itself, and the worst one counts: a last hop. "
        f"Objectives: {promised}. Set your own with objectives in the configuration.",
        unit="percentunit",
        expr=left,
        legend=f"{{{{{PIPELINE}}}}} {{{{{OBJECTIVE}}}}}",
        thresholds=(Threshold(0, "warning"), Threshold(0.25, "ok")),
        below="critical",
        mappings=(ValueMapping(_TWICE, "spent twice or more", "critical"),),
        # Without flows, nothing is spent.
        nothing=1,
    )


def _whole(scope: Scope, objective: Objective) -> str:
    """Return a query for the budget of pipelines without flows, which is whole."""
    pipelines = known_hops(scope, *matchers(objective), by=(PIPELINE,))
    return f'label_replace({pipelines}, "{OBJECTIVE}", "{objective.name}", "", "")'


def lateness(objectives: Sequence[Objective]) -> Signal:
    """Make the signal for how late flows are: those that arrive, or else those that wait.

    Args:
        objectives: What allows them to be so late. If they differ in that, no limit is right for
            all pipelines, so the signal has no colours.
    """

    def late(scope: Scope) -> str:
        arrived = aggregate(
            "max", (PIPELINE,), f"{scope.quantile(0.95, END_TO_END_DURATION, by=KIND)} >= 0"
        )
        behind = _behind(scope, objectives)
        return f" or on ({PIPELINE}) ".join(
            (
                _noted(f"{behind} unless on ({PIPELINE}) {arrived}", "nothing arrives, behind by"),
                _noted(f"{behind} > on ({PIPELINE}) {arrived}", "behind by"),
                _noted(arrived, "p95"),
            )
        )

    return Signal(
        title="End-to-end lag p95",
        description="p95 of the end-to-end lag at the last hop, which is where it is highest. Over "
        "all hops together, the early ones would hide it. While records wait longer than that, and "
        "than an objective allows, it is the age of the oldest: nothing late arrives as long as "
        "nothing arrives.",
        unit="s",
        expr=late,
        legend=f"{{{{{PIPELINE}}}}} {{{{{NOTE}}}}}",
        thresholds=slower_than(*(objective.within_s for objective in objectives)),
    )


def _behind(scope: Scope, objectives: Sequence[Objective]) -> str:
    """Return a query for the age of what waits in a pipeline for longer than is allowed there.

    Each objective allows it at its hops and those before them, and the most generous one elsewhere.
    """
    most_s = max(objective.within_s for objective in objectives)
    oldest = scope.newest(CONSUMER_LAG_TIME, of=(GROUP,), by=_HOP)
    hops = [
        (hops_on_the_way(scope, objective), objective.within_s)
        for objective in objectives
        if objective.within_s < most_s
    ]
    late = (
        f"{each} * on ({', '.join(_HOP)}) group_left () {oldest} > {limit_s:g}"
        for each, limit_s in [*hops, (known_hops(scope), most_s)]
    )
    return f"({aggregate('max', (PIPELINE,), ' or '.join(late))})"


def _noted(query: str, note: str) -> str:
    return f'label_replace({query}, "{NOTE}", "{note}", "", "")'
