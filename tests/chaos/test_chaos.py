"""Every order ends once, in one trace, although services and brokers are killed under load.

These tests are short; `python -m tests.chaos` runs the long versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo_pipeline.broker import KafkaCluster
from tests.chaos.faults import kill_broker, kill_orchestrator, kill_services
from tests.chaos.storm import run_storm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.integration,
    pytest.mark.timeout(600),
]

RATE = 15.0
# A restarted broker needs time on a slow machine, and the shop accepts orders meanwhile.
MOST = 200


async def test_nothing_is_lost_or_doubled_when_services_are_killed(tmp_path: Path) -> None:
    async with KafkaCluster() as kafka:
        disturb = kill_services(6, every_s=1.5, seed=7)
        result = await run_storm(kafka.bootstrap_servers, tmp_path, disturb, rate=RATE, most=MOST)

    assert () == result.problems
    assert result.accepted > 50


async def test_sagas_end_once_and_metrics_are_correct_when_the_orchestrator_is_killed(
    tmp_path: Path,
) -> None:
    async with KafkaCluster() as kafka:
        disturb = kill_orchestrator(6, every_s=1.5, seed=3)
        result = await run_storm(kafka.bootstrap_servers, tmp_path, disturb, rate=RATE)

    assert () == result.problems
    assert {"completed", "compensated"} == result.sagas.ended.keys()


async def test_nothing_is_lost_or_doubled_when_the_broker_is_restarted(tmp_path: Path) -> None:
    async with KafkaCluster() as kafka:
        disturb = kill_broker(kafka, 0, before_s=4, down_s=3)
        result = await run_storm(kafka.bootstrap_servers, tmp_path, disturb, rate=RATE, most=MOST)

    assert () == result.problems
    assert result.accepted > 50


async def test_nothing_is_lost_or_doubled_when_one_of_three_brokers_dies(tmp_path: Path) -> None:
    async with KafkaCluster(nodes=3) as kafka:
        disturb = kill_broker(kafka, 1, before_s=4, down_s=6, back=False)
        result = await run_storm(kafka.bootstrap_servers, tmp_path, disturb, rate=RATE, most=MOST)

    assert () == result.problems
    assert result.accepted > 50
