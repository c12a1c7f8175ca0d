from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from tests.tracing.replay.doubles import METADATA, ORDERS, READ_MODELS, Live, Log
from tests.tracing.sql.conftest import own_database, postgres_url, sqlite_engine
from tracing import Telemetry
from tracing.sql import SqlReplayStore
from tracing.testing import Capture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["postgres_url"]


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture("orders") as capture:
        yield capture


@pytest.fixture
def telemetry(capture: Capture) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        source="/orders",
    )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            engine = sqlite_engine(tmp_path / "test.sqlite3")
        else:
            server = request.getfixturevalue("postgres_url")
            engine = create_async_engine(await stack.enter_async_context(own_database(server)))
        stack.push_async_callback(engine.dispose)
        async with engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)
            await READ_MODELS.declare(connection, ["orders"], fresh=True)
        yield engine


@pytest.fixture
def new_store(engine: AsyncEngine) -> Callable[[], SqlReplayStore]:
    return partial(SqlReplayStore, engine, READ_MODELS, ORDERS)


@pytest.fixture
def live(engine: AsyncEngine) -> Live:
    return Live(engine)


@pytest.fixture
def log() -> Log:
    return Log()
