"""Run some random schedules; `python -m tests.chaos schedules` runs any number of them."""

from __future__ import annotations

import random

import pytest

from tests.chaos.schedule_batch import run_all

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("kafka", "count"),
    [
        pytest.param(False, 12, id="embedded"),
        pytest.param(True, 6, id="kafka", marks=pytest.mark.kafka),
    ],
)
async def test_each_record_is_handled_in_order_and_committed_afterwards_in_random_schedules(
    request: pytest.FixtureRequest, *, kafka: bool, count: int
) -> None:
    if kafka:
        request.getfixturevalue("java")
    first = random.randrange(10**6)
    print(f"python -m tests.chaos schedules --count {count} --seed {first}", end=" ")  # noqa: T201 - to run it again
    print("--kafka" if kafka else "")  # noqa: T201 - as above

    results = await run_all(range(first, first + count), kafka=kafka)

    failed = [result for result in results if result.problems]
    assert [] == [(result.seed, result.problems) for result in failed], failed[0].history
    assert sum(result.records for result in results) <= sum(
        result.handled + result.dead_lettered for result in results
    )
