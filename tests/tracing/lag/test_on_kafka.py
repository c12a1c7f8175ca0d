"""Features of Apache Kafka alone: transactions, deletion, new partitions; statuses under load."""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from demo_pipeline.broker import KafkaCluster, create_topics
from tests.tracing.lag.load import Load, hold, statuses
from tests.tracing.lag.scene import Scene, only, partitions
from tracing import Telemetry
from tracing.kafka.cluster import Cluster
from tracing.lag import LagMonitor, PartitionLag, Status
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from aiokafka.structs import TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
def scene(kafka_servers: str) -> Scene:
    return Scene(kafka_servers)


def ago_ms(seconds: float) -> int:
    return int((time() - seconds) * 1000)


def transactional(scene: Scene, name: str = "") -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=scene.servers, transactional_id=f"{scene.name}{name}")


async def swept(monitor: LagMonitor, end: int) -> PartitionLag:
    """Sweep until a log ends at an offset: markers follow the end of a transaction."""

    async def sweep() -> PartitionLag | None:
        partition = only(await monitor.sweep())
        return partition if partition.end == end else None

    partition = await eventually(sweep)
    assert partition is not None
    return partition


async def test_a_transaction_marker_at_the_end_is_not_a_record(scene: Scene) -> None:
    await scene.create()
    async with transactional(scene) as producer, producer.transaction():
        await producer.send_and_wait(scene.topic, b"v", partition=0)
    await scene.commit({0: 1})
    async with scene.monitor(interval_s=0.2, window_s=0.4) as monitor:
        partition = await swept(monitor, end=2)
        await asyncio.sleep(0.5)
        later = only(await monitor.sweep())

    # Kafka's own tool counts the marker's offset, too.
    assert (1, 2, 1, 0.0, True) == (
        partition.committed, partition.end, partition.lag, partition.lag_s, partition.exact
    )  # fmt: skip
    assert Status.OK is later.status


async def test_aborted_records_do_not_wait(scene: Scene) -> None:
    await scene.create()
    async with transactional(scene) as producer:
        with pytest.raises(ZeroDivisionError):
            async with producer.transaction():
                await producer.send_and_wait(scene.topic, b"v", partition=0)
                raise ZeroDivisionError
    await scene.commit({0: 0})
    async with scene.monitor() as monitor:
        aborted = await swept(monitor, end=2)
        await scene.produce(ago_ms(400))
        followed = only(await monitor.sweep())

    assert (2, 0.0, True) == (aborted.lag, aborted.lag_s, aborted.exact)
    assert (3, True) == (followed.lag, followed.exact)
    assert followed.lag_s == pytest.approx(400, abs=45)


async def test_records_of_an_open_transaction_wait(scene: Scene) -> None:
    await scene.create()
    async with transactional(scene) as producer, producer.transaction():
        await producer.send_and_wait(scene.topic, b"v", partition=0, timestamp_ms=ago_ms(500))
        await scene.produce(ago_ms(300))
        await scene.commit({0: 0})
        async with scene.monitor() as monitor:
            partition = only(await monitor.sweep())

    assert (2, True) == (partition.lag, partition.exact)
    assert partition.lag_s == pytest.approx(500, abs=45)


async def test_deleted_records_do_not_wait(scene: Scene) -> None:
    await scene.create()
    await scene.produce(ago_ms(900), ago_ms(600), ago_ms(300))
    await scene.commit({0: 0})
    async with scene.admin() as admin, scene.monitor() as monitor:
        await admin.delete_records({scene.tp(): RecordsToDelete(2)})
        some = only(await monitor.sweep())
        await admin.delete_records({scene.tp(): RecordsToDelete(3)})
        none = only(await monitor.sweep())

    assert (3, True) == (some.lag, some.exact)
    assert some.lag_s == pytest.approx(300, abs=45)
    assert (3, 0.0, Status.OK) == (none.lag, none.lag_s, none.status)


async def test_a_topic_deleted_during_a_sweep_is_left_out(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.create(2)
    await scene.produce(None)
    await scene.commit({0: 0})
    original = Cluster.offsets

    async def offsets(
        self: Cluster, asked: set[TopicPartition], which: int
    ) -> dict[TopicPartition, int]:
        monkeypatch.undo()
        async with scene.admin() as admin:
            await admin.delete_topics([scene.topic])
        await asyncio.sleep(0.5)
        return await original(self, asked, which)

    async with scene.monitor() as monitor:
        assert 1 == only(await monitor.sweep()).lag
        monkeypatch.setattr(Cluster, "offsets", offsets)
        deleted = await monitor.sweep()
        after = await monitor.sweep()

    assert ((), (), ()) == (deleted.groups, deleted.unanswered, deleted.missing_rights)
    assert () == deleted.silent
    assert () == after.groups


async def test_new_partitions_count_from_their_first_record(scene: Scene) -> None:
    await scene.create()
    await scene.produce(None)
    async with scene.member() as member, scene.monitor() as monitor:
        assert {0} == partitions(await monitor.sweep()).keys()
        async with scene.admin() as admin:
            await admin.create_partitions({scene.topic: NewPartitions(2)})

        await eventually(lambda: len(member.assignment()) == 2, timeout_s=30)
        await scene.produce(ago_ms(300), partition=1)
        parts = partitions(await monitor.sweep())

    assert (0, 1) == (parts[0].lag, parts[1].lag)
    assert parts[1].lag_s == pytest.approx(300, abs=45)


async def test_series_come_from_the_last_sweep_and_end_with_their_topic(scene: Scene) -> None:
    await scene.create()
    await scene.produce(ago_ms(600))
    await scene.commit({0: 0})
    labels = {
        "messaging.consumer.group.name": scene.group,
        "messaging.destination.name": scene.topic,
        "messaging.destination.partition.id": "0",
    }
    with Capture("lag") as capture:
        telemetry = Telemetry("lag", meter_provider=capture.meter_provider)
        async with scene.monitor(telemetry=telemetry) as monitor:
            await monitor.sweep()
            assert 1 == capture.metric("pipeline.consumer.lag", labels)
            assert capture.metric("pipeline.consumer.lag.time", labels) == pytest.approx(
                600, abs=45
            )
            async with scene.admin() as admin:
                await admin.delete_topics([scene.topic])
            await eventually(lambda: _gone(monitor))
            assert capture.metric("pipeline.consumer.lag", labels) is None


async def _gone(monitor: LagMonitor) -> bool:
    return not (await monitor.sweep()).groups


async def test_one_request_covers_all_partitions_of_a_broker_and_records_are_read_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.create(20)
    for number in range(20):
        await scene.produce(None, partition=number)
    await scene.commit(dict.fromkeys(range(20), 0))
    sent: list[Any] = []
    original = Cluster.send

    async def send(self: Cluster, node: int, request: Any) -> Any:
        sent.append(request)
        return await original(self, node, request)

    monkeypatch.setattr(Cluster, "send", send)
    async with scene.monitor() as monitor:
        parts = partitions(await monitor.sweep())
        first, sent = sent, []
        await monitor.sweep()

    assert [1.0] * 20 == [part.lag for part in parts.values() if part.exact]
    assert 2 == sum(isinstance(request, OffsetRequest) for request in first)
    assert 1 == sum(isinstance(request, FetchRequest) for request in first)
    assert 0 == sum(isinstance(request, FetchRequest) for request in sent)


@pytest.mark.parametrize("read", [True, False])
async def test_under_load_the_time_is_correct_and_the_status_follows_a_stopped_consumer(
    scene: Scene, read: bool
) -> None:
    await scene.create()
    load = Load(scene.servers, scene.topic, scene.group)
    seen = [each async for each in hold(load, stopped_s=8, window_s=4, interval_s=0.5, read=read)]

    # Without reading, the first sweep cannot estimate a time.
    assert [] == [each for each in seen[0 if read else 1 :] if each.off_s > 1]
    assert read == all(each.exact for each in seen)
    reported = statuses(seen)
    assert [Status.OK, Status.LAGGING, Status.DEAD] == reported[:3]
    assert Status.OK is reported[-1]


async def test_a_member_that_commits_nothing_stalls(scene: Scene) -> None:
    await scene.create()
    await scene.commit({0: 0})
    await scene.produce(None)
    async with scene.member() as member, scene.monitor(interval_s=0.5, window_s=2) as monitor:
        await eventually(lambda: bool(member.assignment()))
        until = monotonic() + 4
        reported: list[Status | None] = []
        async for sweep in monitor.sweeps():
            reported.append(only(sweep).status)
            if monotonic() > until:
                break

    assert reported[0] is None
    assert Status.STALLED is reported[-1]


async def test_sweeps_recover_from_the_loss_of_a_broker(java: None) -> None:
    async with KafkaCluster(nodes=3) as kafka:
        scene = Scene(kafka.bootstrap_servers)
        await create_topics(kafka.bootstrap_servers, {scene.topic: 6})
        for number in range(6):
            await scene.produce(ago_ms(60), partition=number)
        await scene.commit(dict.fromkeys(range(6), 0))
        async with scene.monitor(timeout_s=10) as monitor:
            assert 6 == len(partitions(await monitor.sweep()))
            await kafka.kill(1)

            async def all_are_back() -> bool:
                groups = (await monitor.sweep()).groups
                return bool(groups) and 6 == sum(part.exact for part in groups[0].partitions)

            await eventually(all_are_back, timeout_s=40, interval_s=0.5)
