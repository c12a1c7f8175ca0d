"""Members are killed and stopped around their commits: every effect is there exactly once.

This is short; `python -m tests.chaos exactly-once` is the long one.
"""

from __future__ import annotations

import random

import pytest

from tests.chaos.exactly_once import exactly_once

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.integration,
    pytest.mark.timeout(600),
]


async def test_effects_are_there_once_when_members_are_killed_and_stopped(
    kafka_servers: str,
) -> None:
    seed = random.randrange(1_000_000)

    once = await exactly_once(kafka_servers, kills=3, stops=3, seed=seed)

    assert () == once.problems, f"seed {seed}, {once.mishaps}"
    assert 6 <= once.mishaps.total()
