"""A tracker on stored sagas: the metrics follow the database, even when it fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.tracing.sql.saga_fixtures import NAME, S, compensated_saga, stored_sagas
from tracing import SagaContext, SagaTracker
from tracing.sagas import readings
from tracing.testing import HistogramValue

if TYPE_CHECKING:
    from tests.tracing.sql.conftest import Database
    from tracing import Telemetry
    from tracing.testing import Capture


async def metric(capture: Capture, name: str, **labels: str) -> Any:
    return await asyncio.to_thread(capture.metric, f"pipeline.saga.{name}", labels)


async def _one_active_one_done(database: Database, telemetry: Telemetry) -> SagaTracker:
    sagas = await stored_sagas(database)
    async with database.engine.begin() as connection:
        await compensated_saga(sagas, connection, "done")
    async with database.engine.begin() as connection:
        context = SagaContext("stuck", 10 * S)
        await sagas.start(connection, NAME, context, state="charge", deadline_ns=11 * S)
    return SagaTracker(NAME, telemetry, health=sagas.on(database.engine))


async def test_metrics_come_from_the_store_and_not_from_the_tracker(
    database: Database, telemetry: Telemetry, capture: Capture
) -> None:
    tracker = await _one_active_one_done(database, telemetry)
    for _ in range(5):
        context = tracker.begin("reported", 10 * S)
        tracker.started(context)
        tracker.step(context, "refund", started_ns=10 * S, ended_ns=11 * S, compensation=True)
        tracker.ended(context, "failed", ended_ns=12 * S)

    assert 2 == await metric(capture, "started", saga=NAME)
    assert 1 == await metric(capture, "ended", saga=NAME, outcome="compensated")
    assert 0 == await metric(capture, "ended", saga=NAME, outcome="failed")
    assert 1 == await metric(capture, "compensations", saga=NAME, step="refund")
    assert 1 == await metric(capture, "active", saga=NAME, state="charge")
    assert 1 == await metric(capture, "overdue", saga=NAME)
    assert await metric(capture, "oldest_age", saga=NAME) > 10**9
    # Only the tracker that saw the ends knows the durations.
    assert HistogramValue(5, 10.0) == await metric(capture, "duration", outcome="failed")


async def test_a_database_that_fails_and_recovers_leaves_a_gap(
    database: Database, telemetry: Telemetry, capture: Capture
) -> None:
    await _one_active_one_done(database, telemetry)
    assert 2 == await metric(capture, "started")
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE saga_totals RENAME TO elsewhere"))
    assert None is await metric(capture, "started")
    assert None is await metric(capture, "active")
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO saga_totals"))
    assert 2 == await metric(capture, "started")


async def test_an_exhausted_pool_leaves_a_gap_and_leaks_no_connection(
    sqlite: Database, telemetry: Telemetry, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _one_active_one_done(sqlite, telemetry)
    monkeypatch.setattr(readings, "_TIMEOUT_S", 0.1)
    async with sqlite.engine.begin():
        for _ in range(3):
            assert None is await metric(capture, "started")
    monkeypatch.undo()

    assert 2 == await metric(capture, "started")
    assert 0 == sqlite.engine.pool.checkedout()  # type: ignore[attr-defined]  # of a queue pool


async def test_the_last_figures_are_reported_without_the_database_after_closing(
    database: Database, telemetry: Telemetry, capture: Capture
) -> None:
    tracker = await _one_active_one_done(database, telemetry)
    await tracker.aclose()
    async with database.engine.begin() as connection:
        await connection.execute(text("DROP TABLE saga_totals"))
    await database.engine.dispose()

    assert 2 == await metric(capture, "started")
    assert 1 == await metric(capture, "active", state="charge")
    assert 0 == await asyncio.to_thread(
        capture.metric, "pipeline.telemetry.dropped", {"reason": "saga_health"}
    )
