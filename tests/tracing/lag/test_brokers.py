"""The state of the cluster itself, from sweep to sweep and as gauges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import errors

from tests.tracing.lag.scene import Scene
from tracing import Telemetry
from tracing.kafka.topic_ids import Log, Replication
from tracing.lag import ClusterState, Connection, LagMonitor, Sweep
from tracing.lag.brokers import Brokers
from tracing.lag.gauges import LagGauges
from tracing.lag.sweep import Sweeper
from tracing.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDERS, AGAIN, REFUNDS = Log("orders", "1", 0), Log("orders", "2", 0), Log("refunds", "3", 0)
REACHABLE = "pipeline.cluster.reachable"
BROKERS = "pipeline.cluster.brokers"
UNDER_REPLICATED = "pipeline.cluster.partitions.under_replicated"
OFFLINE = "pipeline.cluster.partitions.offline"
CHANGES = "pipeline.cluster.leader.changes"


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture("lag") as capture:
        yield capture


def test_topics_are_added_up_and_leader_changes_are_those_since_the_last_sweep() -> None:
    brokers = Brokers()
    first = {ORDERS: Replication(1, 2, 10), REFUNDS: Replication(4, 0, 3)}
    assert ClusterState(3, 5, 2, 0) == brokers.observe(3, first)
    second = {ORDERS: Replication(0, 0, 12), REFUNDS: Replication(0, 1, 4)}
    assert ClusterState(3, 0, 1, 3) == brokers.observe(3, second)
    assert ClusterState(3, 0, 1, 0) == brokers.observe(3, second)


def test_a_topic_that_was_deleted_and_created_again_has_no_changes() -> None:
    brokers = Brokers()
    brokers.observe(1, {ORDERS: Replication(0, 0, 2)})
    assert ClusterState(1, 0, 0, 0) == brokers.observe(1, {AGAIN: Replication(0, 0, 9)})
    assert ClusterState(1, 0, 0, 0) == brokers.observe(1, {ORDERS: Replication(0, 0, 99)})


def test_a_broker_that_cannot_say_leaves_all_but_the_brokers_unknown() -> None:
    brokers = Brokers()
    brokers.observe(1, {ORDERS: Replication(0, 0, 2)})
    assert ClusterState(1, None, None, 0) == brokers.observe(1, {})
    # Changes in between are found when it says again.
    assert ClusterState(1, 0, 0, 1) == brokers.observe(1, {ORDERS: Replication(0, 0, 3)})


def _gauges(capture: Capture) -> LagGauges:
    gauges = LagGauges(
        Telemetry("lag", meter_provider=capture.meter_provider).metrics,
        partitions=True,
        max_series=10,
    )
    gauges.start()
    return gauges


def _shown(capture: Capture) -> dict[str, object]:
    names = (REACHABLE, BROKERS, UNDER_REPLICATED, OFFLINE, CHANGES)
    return {name: capture.metric(name) for name in names}


def test_a_sweep_is_shown_and_changes_are_added_up(capture: Capture) -> None:
    gauges = _gauges(capture)
    for _ in range(2):
        gauges.show(Sweep(0.0, 0.1, cluster=ClusterState(3, 5, 1, 2)), valid_s=60)
    assert {REACHABLE: 1, BROKERS: 3, UNDER_REPLICATED: 5, OFFLINE: 1, CHANGES: 4} == _shown(
        capture
    )


def test_what_is_unknown_has_no_series(capture: Capture) -> None:
    _gauges(capture).show(Sweep(0.0, 0.1, cluster=ClusterState(1, None, None, 0)), valid_s=60)
    assert {REACHABLE: 1, BROKERS: 1, UNDER_REPLICATED: None, OFFLINE: None, CHANGES: 0} == _shown(
        capture
    )


@pytest.mark.parametrize("error", [errors.KafkaConnectionError("away"), TimeoutError()])
async def test_a_cluster_that_does_not_answer_is_unreachable_until_it_does(
    error: Exception, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(0.0, 0.1, cluster=ClusterState(3, 0, 0, 0))
    results: list[Sweep | Exception] = [sweep, error, sweep]

    async def swept(*, until: float) -> Sweep:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(Sweeper, "sweep", staticmethod(swept))
    telemetry = Telemetry("lag", meter_provider=capture.meter_provider)
    monitor = LagMonitor(Connection("127.0.0.1:1"), telemetry)
    monitor._gauges.start()  # type: ignore[union-attr]  # entering would connect
    await monitor.sweep()
    assert 1 == capture.metric(REACHABLE)
    with pytest.raises(type(error)):
        await monitor.sweep()
    assert 0 == capture.metric(REACHABLE)
    # What was found before is still valid.
    assert 3 == capture.metric(BROKERS)
    await monitor.sweep()
    assert 1 == capture.metric(REACHABLE)


def test_an_old_sweep_is_not_shown_while_the_cluster_is_unreachable(capture: Capture) -> None:
    gauges = _gauges(capture)
    gauges.show(Sweep(0.0, 0.1, cluster=ClusterState(3, 0, 0, 0)), valid_s=-1)
    gauges.unreachable(valid_s=60)
    assert 0 == capture.metric(REACHABLE)
    assert capture.metric(BROKERS) is None


@pytest.mark.kafka
@pytest.mark.integration
async def test_kafka_says_that_a_healthy_cluster_is_healthy(kafka_servers: str) -> None:
    scene = Scene(kafka_servers)
    await scene.create()
    async with scene.monitor() as monitor:
        state = (await monitor.sweep()).cluster
    assert ClusterState(1, 0, 0, 0) == state
