"""What waits is behind if it waits longer than the objective of its pipeline allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from dashboards.config import Config, Objective
from dashboards.model.promql import Scope
from dashboards.signals import objectives
from tests.dashboards.promtool import check_queries

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SCOPE: Final = Scope.of(Config(), window="10m")
ORDERS: Final = Objective(name="fast", pipeline="orders", within_s=5.0)
SHIPPED: Final = Objective(name="fast", pipeline="orders", group="orders-last", within_s=5.0)
REPORTS: Final = Objective(name="slow", pipeline="reports", within_s=60.0)


def _hop(pipeline: str, step: str, oldest_s: int) -> dict[str, str]:
    """Return a hop where ten flows a minute arrive within a second, and the oldest record waits."""
    hop = (
        f'messaging_consumer_group_name="{pipeline}-{step}", '
        f'messaging_destination_name="{pipeline}.{step}"'
    )
    labels = f'pipeline="{pipeline}", {hop}, job="{pipeline}-{step}"'
    name = "pipeline_end_to_end_duration_seconds"
    return {
        **{f'{name}_bucket{{{labels}, le="{bound}"}}': "0+5x130" for bound in ("1", "+Inf")},
        f"{name}_count{{{labels}}}": "0+5x130",
        f"pipeline_consumer_lag_time_seconds{{{hop}}}": f"{oldest_s}x130",
    }


# The service of the first hop sends to the last one.
SENT: Final = {
    'messaging_client_sent_messages_total{messaging_destination_name="orders.last", '
    'job="orders-first"}': "0+5x130"
}


@pytest.mark.parametrize(
    ("promised", "series", "expected"),
    [
        (
            (ORDERS, REPORTS),
            {**_hop("orders", "last", 0), **_hop("reports", "last", 40)},
            {("orders", "p95"): 0.95, ("reports", "p95"): 0.95},
        ),
        (
            (ORDERS, REPORTS),
            {**_hop("orders", "last", 40), **_hop("reports", "last", 70)},
            {("orders", "behind by"): 40, ("reports", "behind by"): 70},
        ),
        # A hop before those of the objective, and one beside them.
        (
            (SHIPPED, REPORTS),
            {**_hop("orders", "first", 40), **_hop("orders", "last", 0), **SENT},
            {("orders", "behind by"): 40},
        ),
        (
            (SHIPPED, REPORTS),
            {**_hop("orders", "beside", 40), **_hop("orders", "last", 0), **SENT},
            {("orders", "p95"): 0.95},
        ),
        # No objective is about it: the most generous one decides.
        (
            (ORDERS, REPORTS),
            {**_hop("orders", "last", 0), **_hop("returns", "last", 40)},
            {("orders", "p95"): 0.95, ("returns", "p95"): 0.95},
        ),
        (
            (ORDERS, REPORTS),
            {**_hop("orders", "last", 0), **_hop("returns", "last", 70)},
            {("orders", "p95"): 0.95, ("returns", "behind by"): 70},
        ),
        ((ORDERS,), _hop("orders", "last", 40), {("orders", "behind by"): 40}),
    ],
)
def test_a_pipeline_is_behind_by_its_own_objective(
    promised: tuple[Objective, ...],
    series: dict[str, str],
    expected: dict[tuple[str, str], float],
    binaries: Path,
    tmp_path: Path,
) -> None:
    query = objectives.lateness(promised).expr(SCOPE)
    values: list[tuple[str, float | None]] = [
        (f"max(({query}) and on (pipeline, note) {_labelled(pipeline, note)})", value)
        for (pipeline, note), value in expected.items()
    ]
    check_queries([*values, (f"count({query})", len(expected))], series, binaries, tmp_path)


def _labelled(pipeline: str, note: str) -> str:
    noted = f'label_replace(vector(1), "note", "{note}", "", "")'
    return f'label_replace({noted}, "pipeline", "{pipeline}", "", "")'
