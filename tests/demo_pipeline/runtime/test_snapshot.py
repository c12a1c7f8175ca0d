"""Queries of one snapshot see the database at one moment, whatever others write meanwhile."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from demo_pipeline.runtime.database import open_database, snapshot
from demo_pipeline.services import analytics
from tests.tracing.sql.conftest import own_database, postgres_url

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["postgres_url"]

_COUNT = text("SELECT count(*) FROM projection_models")


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]
)
async def test_a_snapshot_does_not_see_what_others_write_meanwhile(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with AsyncExitStack() as stack:
        url = f"sqlite+aiosqlite:///{tmp_path}/analytics.sqlite3"
        if kind == "postgresql":
            server = request.getfixturevalue("postgres_url")
            url = await stack.enter_async_context(own_database(server))
        database = await stack.enter_async_context(open_database(analytics.SERVICE, url))
        other = create_async_engine(url)
        stack.push_async_callback(other.dispose)

        async with snapshot(database) as connection:
            before = await connection.scalar(_COUNT)
            async with other.begin() as writing:
                await writing.execute(text("DELETE FROM projection_models"))
            during = await connection.scalar(_COUNT)
        async with snapshot(database) as connection:
            after = await connection.scalar(_COUNT)

    assert (2, 2, 0) == (before, during, after)
