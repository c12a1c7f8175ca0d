"""Whether records are stuck at another group of a pipeline than the one that is stalled or dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.model.labels import GROUP, OBJECTIVE, PIPELINE, STATUS
from dashboards.model.promql import aggregate
from dashboards.signals.known_hops import known_hops
from dashboards.signals.late_flows import stuck_share
from tracing.metrics.catalog import CONSUMER_STATUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.config import Objective
    from dashboards.model.promql import Scope


def stuck_elsewhere(scope: Scope, objectives: Sequence[Objective]) -> str:
    """Return a query for the share of records that are stuck at groups that work.

    It has a result only for pipelines of which a group is stalled or dead: that group is then not
    the only cause of what is late.
    """
    halted = scope.highest(CONSUMER_STATUS, f'{STATUS}=~"stalled|dead"', by=(GROUP,))
    groups = f"({known_hops(scope, by=(PIPELINE, GROUP))} and on ({GROUP}) ({halted} == 1))"
    return " or ".join(
        f"label_replace({aggregate('max', (PIPELINE, GROUP), stuck_share(scope, objective))} "
        f"unless on ({GROUP}) ({halted} == 1) and on ({PIPELINE}) {groups}, "
        f'"{OBJECTIVE}", "{objective.name}", "", "")'
        for objective in objectives
    )
