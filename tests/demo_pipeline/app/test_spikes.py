"""The scenarios `burst` and `late-joiner`: a lag that drains, and a group after the fact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint

from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.report import check_traces
from demo_pipeline.report.backlog import backlogs
from demo_pipeline.report.catch_up import catch_ups
from demo_pipeline.report.delivery import deliveries
from demo_pipeline.report.facts import read_spans
from demo_pipeline.report.sagas import sum_up_sagas
from demo_pipeline.runtime.database import database_url, open_database
from demo_pipeline.services import loyalty
from tests.demo_pipeline.app.silent import Silent

if TYPE_CHECKING:
    from pathlib import Path

    from demo_pipeline.report import RunResult

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


async def _run(scenario: str, orders: int, rate: float, databases: Path | None = None) -> Any:
    load = Load(orders=orders, rate=rate, seed=1)
    return await run(
        RunOptions(
            load=load, scenario=scenario, bootstrap_servers=None, kafka=False, http_port=0,
            timeout_s=60, databases=databases,
        ),
        Silent(),
    )  # fmt: skip


def _ended(result: RunResult) -> tuple[int, int]:
    sagas = sum_up_sagas(result.metrics, read_spans(result.spans))
    (placed,) = (saga for saga in sagas if saga.name == "place-order")
    return placed.started, placed.completed


async def test_in_a_burst_a_hop_falls_behind_and_every_order_completes() -> None:
    outcome = await _run("burst", orders=33, rate=8)

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    assert (33, 33) == _ended(outcome.result)
    found = backlogs(read_spans(outcome.result.spans))
    assert found is not None
    # Payment; on a busy machine a hop before it.
    assert found.furthest
    # What waits for its turn is neither tried again nor given up.
    assert [] == [each for each in deliveries(outcome.result.metrics) if each.dead_letters]
    assert [] == [each for each in deliveries(outcome.result.metrics) if each.retries]


def _counted(result: RunResult, metric: str, group: str) -> int:
    """Return how many values of a histogram are about a group."""
    return sum(
        point.count
        for data in result.metrics
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for each in scope.metrics
        if each.name == metric
        for point in each.data.data_points
        if isinstance(point, HistogramDataPoint)
        and (point.attributes or {}).get("messaging.consumer.group.name") == group
    )


async def test_a_group_after_the_fact_reads_everything_and_is_no_lag_of_the_flow(
    tmp_path: Path,
) -> None:
    outcome = await _run("late-joiner", orders=8, rate=20, databases=tmp_path)

    assert () == outcome.problems
    assert () == check_traces(outcome.result)
    assert (8, 8) == _ended(outcome.result)
    (found,) = catch_ups(read_spans(outcome.result.spans))
    assert ("loyalty", ("orders.events", "shipping.events"), 16, 0) == (
        found.reader, found.topics, found.records, found.others
    )  # fmt: skip
    url = database_url("loyalty", tmp_path)
    async with open_database(loyalty.SERVICE, url) as database, database.connect() as connection:
        assert set(outcome.result.order_ids) == await loyalty.seen_orders(connection)
        assert 0 < await loyalty.points(connection)
    lags = ("pipeline.wait.duration", "pipeline.end_to_end.duration")
    assert [0, 0] == [_counted(outcome.result, lag, "loyalty") for lag in lags]
    assert [16, 16] == [_counted(outcome.result, lag, "notification") for lag in lags]
