"""Read models stay equal to those of a service that is never replayed, although replays are killed.

This test is short; `python -m tests.chaos replays` runs the long version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo_pipeline.broker import EmbeddedBroker
from tests.chaos.replays import run_replays

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


async def test_a_read_model_equals_the_live_one_although_its_replays_are_killed_under_load(
    tmp_path: Path,
) -> None:
    async with EmbeddedBroker() as broker:
        result = await run_replays(
            broker.bootstrap_servers, tmp_path, kills=3, seed=4, history=2500, rate=20.0
        )

    assert [] == result.problems
    assert (3, 6) <= (result.kills, result.compared)
    assert result.resumed > 0
