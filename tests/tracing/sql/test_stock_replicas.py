"""Replicas of the demo's inventory on one PostgreSQL."""

from __future__ import annotations

import pytest

from tests.demo_pipeline.services.stock_rush import check_a_rush
from tests.tracing.sql.conftest import own_database


@pytest.mark.integration
async def test_replicas_never_sell_more_than_there_is_and_never_deadlock(postgres_url: str) -> None:
    async with own_database(postgres_url) as url:
        await check_a_rush(url, instances=3, orders=40)
