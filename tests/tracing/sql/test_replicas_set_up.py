"""Replicas of a demo service that start together on an empty database."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from demo_pipeline.runtime.database import open_database
from demo_pipeline.services import SERVICES
from tests.tracing.sql.conftest import own_database


@pytest.mark.integration
async def test_replicas_that_start_together_can_set_up_one_database(postgres_url: str) -> None:
    async with own_database(postgres_url) as url, AsyncExitStack() as stack:
        await asyncio.gather(
            *(
                stack.enter_async_context(open_database(SERVICES["inventory"], url))
                for _ in range(6)
            )
        )
