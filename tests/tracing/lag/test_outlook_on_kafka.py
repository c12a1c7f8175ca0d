"""Retention and losses on Apache Kafka."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.protocol.admin import DescribeConfigsRequest

from demo_pipeline.broker import KafkaCluster
from tests.tracing.lag.scene import Scene, only, partitions, watched
from tracing import Telemetry
from tracing.kafka.cluster import Cluster
from tracing.kafka.log_dirs import DescribeLogDirs
from tracing.lag import GroupLag, RetentionUse
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tracing.lag import LagMonitor, PartitionLag

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
def scene(kafka_servers: str) -> Scene:
    return Scene(kafka_servers)


def ago_ms(seconds: float) -> int:
    return int((time() - seconds) * 1000)


@pytest.fixture
async def producer(scene: Scene) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=scene.servers) as producer:
        yield producer


async def retention(scene: Scene) -> RetentionUse | None:
    async with scene.monitor() as monitor:
        sweep = await monitor.sweep()
    assert () == sweep.unknown_retention
    return only(sweep).retention


async def test_the_oldest_uncommitted_record_has_used_a_share_of_the_time(scene: Scene) -> None:
    await scene.create(retention_ms="600000")
    await scene.produce(ago_ms(500), ago_ms(450), ago_ms(10))
    await scene.commit({0: 1})
    use = await retention(scene)

    assert use is not None
    assert 0.75 == pytest.approx(use.used, abs=0.02)
    assert use.left_s is not None
    assert 150 == pytest.approx(use.left_s, abs=10)


async def test_the_records_behind_it_have_used_a_share_of_the_bytes(scene: Scene) -> None:
    await scene.create(retention_bytes="40000", retention_ms="-1")
    async with AIOKafkaProducer(bootstrap_servers=scene.servers) as producer:
        for _ in range(20):
            await producer.send_and_wait(scene.topic, b"v" * 1000, partition=0)
    await scene.commit({0: 10})
    use = await retention(scene)

    assert use is not None
    # Ten records of about 1,070 bytes: Kafka adds a header to each batch.
    assert 10 * 1070 / 40_000 == pytest.approx(use.used, rel=0.05)
    # Nothing arrives, so nothing is ever deleted.
    assert use.left_s is None


async def test_the_time_until_a_loss_by_bytes_follows_the_inflow(
    scene: Scene, producer: AIOKafkaProducer
) -> None:
    await scene.create(retention_bytes="1000000", retention_ms="-1")
    await scene.produce(None)
    await scene.commit({0: 0})

    async def act() -> None:
        await producer.send_and_wait(scene.topic, b"v", partition=0)

    async with scene.monitor(interval_s=0.3, window_s=2) as monitor:
        sweep = await watched(
            monitor,
            act,
            lambda group: (
                (use := group.partitions[0].retention) is not None and use.left_s is not None
            ),
        )

    part = only(sweep)
    assert part.retention is not None
    assert part.velocity is not None
    assert 0 < part.retention.used < 0.1
    # Batches of one short record take about 70 bytes.
    assert 1_000_000 / 70 / part.velocity.inflow == pytest.approx(part.retention.left_s, rel=0.2)


@pytest.mark.parametrize(
    "settings",
    [
        {"cleanup_policy": "compact", "retention_ms": "600000"},
        {"retention_ms": "-1", "retention_bytes": "-1"},
    ],
    ids=["compacted", "without-limits"],
)
async def test_a_topic_that_loses_nothing_has_no_retention(
    scene: Scene, settings: dict[str, str]
) -> None:
    await scene.create(1, **settings)
    async with AIOKafkaProducer(bootstrap_servers=scene.servers) as producer:
        await producer.send_and_wait(scene.topic, b"v", b"k", partition=0)
    await scene.commit({0: 0})

    assert await retention(scene) is None


async def test_a_group_without_lag_has_used_nothing(scene: Scene) -> None:
    await scene.create(retention_ms="600000")
    await scene.produce(ago_ms(500))
    await scene.commit({0: 1})

    assert RetentionUse(0.0, None) == await retention(scene)


async def test_settings_are_read_rarely_and_only_sizes_that_matter(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.create(3, retention_ms="600000")
    await scene.produce(None)
    await scene.commit(dict.fromkeys(range(3), 0))
    sent: list[Any] = []
    original = Cluster.send

    async def send(self: Cluster, node: int, request: Any) -> Any:
        sent.append(request)
        return await original(self, node, request)

    monkeypatch.setattr(Cluster, "send", send)
    async with scene.monitor() as monitor:
        for _ in range(3):
            await monitor.sweep()

    assert 1 == sum(isinstance(request, DescribeConfigsRequest) for request in sent)
    assert 0 == sum(isinstance(request, DescribeLogDirs) for request in sent)


async def test_records_that_are_deleted_before_they_are_committed_are_lost(scene: Scene) -> None:
    await scene.create(2)
    for partition in range(2):
        await scene.produce(*[ago_ms(30)] * 10, partition=partition)
    await scene.commit({0: 2, 1: 9})
    labels = {
        "messaging.consumer.group.name": scene.group,
        "messaging.destination.name": scene.topic,
        "messaging.destination.partition.id": "0",
    }
    with Capture("lag") as capture:
        telemetry = Telemetry("lag", meter_provider=capture.meter_provider)
        async with scene.admin() as admin, scene.monitor(telemetry=telemetry) as monitor:

            async def swept() -> tuple[int, int, object]:
                parts = partitions(await monitor.sweep())
                counted = capture.metric("pipeline.consumer.lost", labels)
                return parts[0].lost, parts[1].lost, counted

            before = await swept()
            await admin.delete_records({scene.tp(): RecordsToDelete(7)})
            some = await swept()
            await admin.delete_records({scene.tp(): RecordsToDelete(10)})
            all_ = await swept()
            # A member that comes back goes on where the log starts.
            await scene.commit({0: 10})
            after = await swept()

    assert [(0, 0, 0), (5, 0, 5), (8, 0, 8), (0, 0, 8)] == [before, some, all_, after]


async def test_what_is_committed_before_it_is_deleted_is_not_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.create()
    await scene.produce(*[None] * 10)
    await scene.commit({0: 2})
    original = Cluster.offsets

    async def offsets(self: Cluster, *asked: Any) -> Any:
        # Between the answers about commits and logs, the group commits, and its records go.
        monkeypatch.undo()
        await scene.commit({0: 7})
        async with scene.admin() as admin:
            await admin.delete_records({scene.tp(): RecordsToDelete(7)})
        return await original(self, *asked)

    async with scene.monitor() as monitor:
        monkeypatch.setattr(Cluster, "offsets", offsets)
        during = only(await monitor.sweep())
        after = only(await monitor.sweep())

    assert (2, 0) == (during.committed, during.lost)
    assert (7, 0) == (after.committed, after.lost)


class HastyKafka(KafkaCluster):
    """Looks for records to delete all the time."""

    def _properties(self, node: int) -> str:
        return f"{super()._properties(node)}log.retention.check.interval.ms=100\n"


@pytest.mark.usefixtures("java")
async def test_nothing_is_lost_before_its_retention_is_used() -> None:
    async with HastyKafka() as kafka:
        scene = Scene(kafka.bootstrap_servers)
        await scene.create(retention_ms="6000")
        written = time()
        await scene.produce(*[None] * 10)
        await scene.commit({0: 4})
        used: list[float] = []

        def lost(group: GroupLag) -> bool:
            (part,) = group.partitions
            if not part.lost and part.retention is not None:
                used.append(part.retention.used)
            return bool(part.lost)

        async def act() -> None:
            """Wait for the broker."""

        async with scene.monitor(interval_s=0.2, window_s=2) as monitor:
            sweep = await watched(monitor, act, lost)

    # All six are in one segment, which goes when the newest of them is old enough.
    assert 6 == only(sweep).lost
    assert sweep.at + sweep.took_s >= written + 6
    assert sorted(used) == used


async def test_a_deleted_transaction_marker_is_no_loss(scene: Scene) -> None:
    await scene.create()
    producer = AIOKafkaProducer(bootstrap_servers=scene.servers, transactional_id=scene.name)
    async with producer, producer.transaction():
        await producer.send_and_wait(scene.topic, b"v", partition=0)
    # As after `commit({tp: record.offset + 1})`: the marker is behind it.
    await scene.commit({0: 1})
    async with scene.admin() as admin, scene.monitor() as monitor:
        before = await eventually(lambda: ended_at(monitor, 2))
        await admin.delete_records({scene.tp(): RecordsToDelete(2)})
        after = only(await monitor.sweep())
        await scene.produce(*[None] * 3)
        await admin.delete_records({scene.tp(): RecordsToDelete(4)})
        later = only(await monitor.sweep())

    assert before is not None
    assert (1, 0, 0) == (before.lag, before.lost, after.lost)
    # Two records, after all.
    assert 2 == later.lost


async def ended_at(monitor: LagMonitor, end: int) -> PartitionLag | None:
    partition = only(await monitor.sweep())
    return partition if partition.end == end else None
