"""Under load, services and brokers are killed: every order still ends once, in one trace.

These are short; `python -m tests.chaos` has the long ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo_pipeline.broker import KafkaCluster
from tests.chaos.disturbances import killed_broker, killed_orchestrator, killed_services
from tests.chaos.storm import storm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.integration,
    pytest.mark.timeout(600),
]

RATE = 15.0
# A broker takes its time to come back on a slow machine, and the shop accepts orders meanwhile.
MOST = 200


async def test_nothing_is_lost_or_doubled_when_services_are_killed(tmp_path: Path) -> None:
    async with KafkaCluster() as kafka:
        disturb = killed_services(6, every_s=1.5, seed=7)
        aftermath = await storm(kafka.bootstrap_servers, tmp_path, disturb, rate=RATE, most=MOST)

    assert () == aftermath.problems
    assert aftermath.accepted > 50


async def test_sagas_end_once_and_metrics_are_true_when_the_orchestrator_is_killed(
    tmp_path: Path,
) -> None:
    async with KafkaCluster() as kafka:
        disturb = killed_orchestrator(6, every_s=1.5, seed=3)
        aftermath = await storm(kafka.bootstrap_servers, tmp_path, disturb, rate=RATE)

    assert () == aftermath.problems
    assert {"completed", "compensated"} == aftermath.sagas.ended.keys()


async def test_nothing_is_lost_or_doubled_when_the_broker_is_restarted(tmp_path: Path) -> None:
    async with KafkaCluster() as kafka:
        disturb = killed_broker(kafka, 0, before_s=4, down_s=3)
        aftermath = await storm(kafka.bootstrap_servers, tmp_path, disturb, rate=RATE, most=MOST)

    assert () == aftermath.problems
    assert aftermath.accepted > 50


async def test_nothing_is_lost_or_doubled_when_one_of_three_brokers_dies(tmp_path: Path) -> None:
    async with KafkaCluster(nodes=3) as kafka:
        disturb = killed_broker(kafka, 1, before_s=4, down_s=6, back=False)
        aftermath = await storm(kafka.bootstrap_servers, tmp_path, disturb, rate=RATE, most=MOST)

    assert () == aftermath.problems
    assert aftermath.accepted > 50
