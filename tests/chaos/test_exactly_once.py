"""Every effect happens exactly once, although members are killed and stopped around their commits.

This test is short; `python -m tests.chaos exactly-once` runs the long version.
"""

from __future__ import annotations

import random

import pytest

from tests.chaos.exactly_once import run_exactly_once

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.integration,
    pytest.mark.timeout(600),
]


async def test_effects_happen_once_when_members_are_killed_and_stopped(
    kafka_servers: str,
) -> None:
    seed = random.randrange(1_000_000)

    result = await run_exactly_once(kafka_servers, kills=3, stops=3, seed=seed)

    assert () == result.problems, f"seed {seed}, {result.mishaps}"
    assert 6 <= result.mishaps.total()
