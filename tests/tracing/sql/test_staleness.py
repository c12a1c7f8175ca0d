"""The staleness of read models in a database, as a gauge."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, update

from tests.tracing.sql.test_projections import READ_MODELS, VIEW
from tracing.replay import LogEnds, LogPartition
from tracing.sql import Projection, ProjectionStaleness
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tracing.sql.conftest import Database
    from tracing import Telemetry
    from tracing.testing import Capture

PLACE = LogPartition("orders", 0)


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def _nothing(*_arguments: Any) -> None: ...


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def ends(clock: _Clock) -> LogEnds:
    ends = LogEnds(clock=clock)
    ends.expect([PLACE])
    ends.seen(PLACE, 4)
    return ends


@pytest.fixture
async def staleness(
    database: Database, telemetry: Telemetry, ends: LogEnds, clock: _Clock
) -> ProjectionStaleness:
    async with database.engine.begin() as connection:
        await connection.run_sync(READ_MODELS.tables.models.metadata.create_all)
        await READ_MODELS.declare(connection, ["built"], fresh=True)
        await READ_MODELS.declare(connection, ["new"], fresh=False)
    projections = [Projection(name, ("orders",), (VIEW,), _nothing) for name in ("built", "new")]
    return ProjectionStaleness(
        telemetry, READ_MODELS, projections, ends=ends, service="analytics", clock=clock
    )


async def _value(capture: Capture, projection: str) -> Any:
    labels = {"projection": projection, "service.name": "analytics"}
    return await asyncio.to_thread(capture.metric, "pipeline.projection.staleness", labels)


async def test_the_gauge_is_0_grows_and_ends_with_the_service(
    database: Database,
    staleness: ProjectionStaleness,
    capture: Capture,
    make_record: Callable[..., Any],
    clock: _Clock,
    ends: LogEnds,
) -> None:
    async with database.engine.begin() as connection:
        await READ_MODELS.advance(connection, ["built", "new"], make_record(offset=3))
    measuring = asyncio.create_task(staleness.run(database.engine))

    async def is_0() -> bool:
        return bool(await _value(capture, "built") == 0.0)

    assert await eventually(is_0)
    clock.now_s += 100
    assert 0.0 == await _value(capture, "built")
    ends.seen(PLACE, 5)

    await staleness.measure(database.engine)

    clock.now_s += 30
    assert 30.0 == await _value(capture, "built")
    # One that is not built is not a stale one.
    assert None is await _value(capture, "new")
    measuring.cancel()
    await asyncio.wait({measuring})
    assert None is await _value(capture, "built")


async def test_it_grows_while_the_database_does_not_answer(
    database: Database,
    staleness: ProjectionStaleness,
    capture: Capture,
    make_record: Callable[..., Any],
    clock: _Clock,
    ends: LogEnds,
) -> None:
    async with database.engine.begin() as connection:
        await READ_MODELS.advance(connection, ["built"], make_record(offset=3))
    measuring = asyncio.create_task(staleness.run(database.engine))
    await staleness.measure(database.engine)
    models = READ_MODELS.tables.models
    async with database.engine.begin() as connection:
        await connection.run_sync(models.drop)
    ends.seen(PLACE, 9)

    await staleness.measure(database.engine)

    clock.now_s += 7
    assert 7.0 == await _value(capture, "built")
    measuring.cancel()
    await asyncio.wait({measuring})


async def test_a_generation_that_took_over_is_measured_by_its_own_positions(
    database: Database,
    staleness: ProjectionStaleness,
    capture: Capture,
    make_record: Callable[..., Any],
    clock: _Clock,
) -> None:
    async with database.engine.begin() as connection:
        await READ_MODELS.advance(connection, ["built"], make_record(offset=3))
        await connection.execute(
            insert(READ_MODELS.tables.positions).values(
                name="built", generation=2, topic="orders", partition=0, next_offset=2, event_ms=7
            )
        )
        models = READ_MODELS.tables.models
        await connection.execute(update(models).where(models.c.name == "built").values(active=2))
    measuring = asyncio.create_task(staleness.run(database.engine))
    await staleness.measure(database.engine)

    clock.now_s += 5
    assert 5.0 == await _value(capture, "built")
    measuring.cancel()
    await asyncio.wait({measuring})
