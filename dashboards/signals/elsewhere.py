"""Whether flows of a pipeline are late for another reason than its stalled or dead group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.model.labels import (
    GROUP,
    OBJECTIVE,
    PIPELINE,
    RECORDED_BEFORE_SAGAS,
    SAGA,
    SERVICE,
    STATUS,
    recorded_late_share,
)
from dashboards.model.promql import aggregate
from dashboards.signals.known_hops import known_hops
from dashboards.signals.late_flows import stuck_share
from tracing.metrics.catalog import CONSUMER_STATUS, END_TO_END_DURATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.config import Objective
    from dashboards.model.promql import Scope

_HALTED: Final = f'{STATUS}=~"stalled|dead"'


def late_elsewhere(scope: Scope, objectives: Sequence[Objective]) -> str:
    """Return a query for the share of flows that are late where a halted group is not the cause.

    It has a result only for pipelines of which a group is stalled or dead. Records that are stuck
    at another group count in any case. What arrives late at another group, and sagas that became
    overdue, count unless sagas of the pipeline wait for the halted group: they become overdue
    because of it, and what they undo after their deadline arrives late. They wait for it if it is
    one of their own service, or if its service sends to theirs, in some steps. A service whose
    other groups go on is not taken for the cause: another page is better than none.

    Args:
        scope: The scope of the query, with a ruleset.
        objectives: The objectives, each of which has its own share.
    """
    halted = f"({_status(scope)} == 1)"
    of_halted = f"({known_hops(scope, by=(PIPELINE, GROUP))} and on ({GROUP}) {halted})"

    def elsewhere(shares: str) -> str:
        return f"{shares} unless on ({GROUP}) {halted} and on ({PIPELINE}) {of_halted}"

    late = aggregate(
        "max",
        (PIPELINE, OBJECTIVE, GROUP, SAGA),
        scope.select_recorded(recorded_late_share(scope.window)),
    )
    stuck = " or ".join(
        f"label_replace({aggregate('max', (PIPELINE, GROUP), stuck_share(scope, objective))}, "
        f'"{OBJECTIVE}", "{objective.name}", "", "")'
        for objective in objectives
    )
    waits = f"on ({PIPELINE}) {_sagas_wait_for(scope, halted)}"
    return f"{elsewhere(late)} unless {waits} or {elsewhere(f'({stuck})')}"


def halted_lately(scope: Scope) -> str:
    """Return a query for the pipelines of which a group was stalled or dead within the window."""
    status = scope.select(CONSUMER_STATUS, _HALTED)
    groups = aggregate("max", (GROUP,), f"max_over_time({status}[{scope.window}])")
    hops = f"{known_hops(scope, by=(PIPELINE, GROUP))} and on ({GROUP}) ({groups} == 1)"
    return aggregate("group", (PIPELINE,), hops)


def _status(scope: Scope) -> str:
    return scope.highest(CONSUMER_STATUS, _HALTED, by=(GROUP,))


def _sagas_wait_for(scope: Scope, halted: str) -> str:
    """Return a query for the pipelines whose sagas wait for a halted group."""
    hops = f"{scope.select_recorded(RECORDED_BEFORE_SAGAS)} and on ({GROUP}) {halted}"
    arrivals = scope.alive(scope.select(END_TO_END_DURATION, part="count"))
    goes_on = aggregate("group", (SERVICE,), f"{arrivals} unless on ({GROUP}) {halted}")
    return aggregate("group", (PIPELINE,), f"{hops} unless on ({SERVICE}) {goes_on}")
