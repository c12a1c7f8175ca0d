"""A topic that was deleted and created again is another log: on both brokers."""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import errors

from tests.tracing.lag.scene import Scene, only
from tracing.kafka.cluster import Cluster
from tracing.kafka.topic_ids import DescribeTopicIds
from tracing.testing import eventually

if TYPE_CHECKING:
    from tracing.lag import LagMonitor, PartitionLag

pytestmark = [pytest.mark.integration]


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(str(request.getfixturevalue(f"{request.param}_servers")))


def ago_ms(seconds: float) -> int:
    return int((time() - seconds) * 1000)


async def delete(scene: Scene) -> None:
    async with scene.admin() as admin:
        await admin.delete_topics([scene.topic])

        async def gone() -> bool:
            return scene.topic not in await admin.list_topics()

        await eventually(gone, timeout_s=30)


async def recreate(scene: Scene) -> None:
    await delete(scene)
    await scene.create()


async def swept(monitor: LagMonitor) -> PartitionLag:
    return only(await monitor.sweep())


async def test_a_recreated_topic_has_no_time_from_the_log_that_is_gone(scene: Scene) -> None:
    await scene.create()
    await scene.produce(ago_ms(3600))
    await scene.commit({0: 0})
    async with scene.monitor() as monitor:
        before = await swept(monitor)
        await recreate(scene)
        # As long as the old log, so only its id shows that it is another one.
        await scene.produce(ago_ms(60))
        await scene.commit({0: 0})
        after = await swept(monitor)

    assert before.lag_s == pytest.approx(3600, abs=60)
    assert (1, 1, True) == (before.lag, after.lag, after.exact)
    assert after.lag_s == pytest.approx(60, abs=30)
    assert None is not before.topic_id != after.topic_id is not None


async def test_a_recreated_topic_has_no_estimate_from_the_log_that_is_gone(scene: Scene) -> None:
    await scene.create()
    await scene.produce(None)
    await scene.commit({0: 0})
    async with scene.monitor(read=False) as monitor:
        await swept(monitor)
        await asyncio.sleep(0.1)
        before = await swept(monitor)
        await recreate(scene)
        await scene.produce(None)
        await scene.commit({0: 0})
        after = await swept(monitor)

    assert before.lag_s is not None
    assert (1, None) == (after.lag, after.lag_s)


async def test_a_recreated_topic_has_the_status_of_its_own_offsets(scene: Scene) -> None:
    await scene.create()
    await scene.produce(None)
    await scene.commit({0: 0})
    async with scene.monitor(interval_s=0.1, window_s=0.4) as monitor:

        async def judged() -> bool:
            return (await swept(monitor)).status is not None

        await eventually(judged)
        await recreate(scene)
        await scene.produce(None)
        await scene.commit({0: 0})
        after = await swept(monitor)

    assert after.status is None


@pytest.mark.parametrize(
    "error", [NotImplementedError("version 10"), errors.KafkaConnectionError("unreadable")]
)
async def test_a_broker_without_topic_ids_is_measured_by_name(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    original = Cluster.send

    async def send(self: Cluster, node: int, request: Any) -> Any:
        if isinstance(request, DescribeTopicIds):
            raise error
        return await original(self, node, request)

    monkeypatch.setattr(Cluster, "send", send)
    await scene.create()
    await scene.produce(ago_ms(60))
    await scene.commit({0: 0})
    async with scene.monitor() as monitor:
        without = await monitor.sweep()
        monkeypatch.undo()
        with_ids = await swept(monitor)
        monkeypatch.setattr(Cluster, "send", send)
        kept = await swept(monitor)

    assert (1, True, None) == (only(without).lag, only(without).exact, only(without).topic_id)
    assert ((), ()) == (without.unanswered, without.missing_rights)
    # What is known of a topic's id stays known.
    assert None is not with_ids.topic_id == kept.topic_id


@pytest.mark.kafka
async def test_without_a_commit_a_recreated_topic_counts_from_its_first_record(
    kafka_servers: str,
) -> None:
    scene = Scene(kafka_servers)
    await scene.create()
    await scene.produce(None, None, None)
    async with scene.member() as member, scene.monitor() as monitor:
        await eventually(lambda: bool(member.assignment()))
        before = await swept(monitor)
        await delete(scene)
        await eventually(lambda: not member.assignment(), timeout_s=30)
        await scene.create()
        await eventually(lambda: bool(member.assignment()), timeout_s=30)
        await scene.produce(ago_ms(60))
        after = await swept(monitor)

    assert ((None, 0), (None, 1)) == (
        (before.committed, before.lag), (after.committed, after.lag)
    )  # fmt: skip
    assert after.lag_s == pytest.approx(60, abs=30)


@pytest.mark.kafka
async def test_a_topic_whose_id_becomes_known_is_not_new(
    kafka_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(kafka_servers)
    await scene.create()
    await scene.produce(None, None, None)
    original = Cluster.send

    async def send(self: Cluster, node: int, request: Any) -> Any:
        if isinstance(request, DescribeTopicIds):
            raise errors.RequestTimedOutError
        return await original(self, node, request)

    monkeypatch.setattr(Cluster, "send", send)
    async with scene.member() as member, scene.monitor() as monitor:
        await eventually(lambda: bool(member.assignment()))
        before = await swept(monitor)
        monkeypatch.undo()
        after = await swept(monitor)

    assert None is before.topic_id is not after.topic_id
    assert (0, 0) == (before.lag, after.lag)
