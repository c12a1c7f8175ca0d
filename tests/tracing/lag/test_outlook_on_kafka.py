"""Retention, losses, velocities and causes on Apache Kafka."""

from __future__ import annotations

from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.protocol.admin import DescribeConfigsRequest

from tests.tracing.lag.scene import Scene, only, partitions
from tracing import Telemetry
from tracing.kafka.cluster import Cluster
from tracing.kafka.log_dirs import DescribeLogDirs
from tracing.lag import Cause, GroupLag, LagMonitor, PartitionLag, RetentionUse, Status, Sweep
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
def scene(kafka_servers: str) -> Scene:
    return Scene(kafka_servers)


def ago_ms(seconds: float) -> int:
    return int((time() - seconds) * 1000)


async def watched(
    monitor: LagMonitor, act: Callable[[], Any], until: Callable[[GroupLag], bool]
) -> Sweep:
    """Sweep, and act between sweeps, until a condition holds."""
    deadline = monotonic() + 30
    async for sweep in monitor.sweeps():
        if sweep.groups and until(sweep.groups[0]):
            return sweep
        assert monotonic() < deadline, sweep
        await act()
    raise AssertionError


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


async def test_one_blocked_partition_is_named_as_the_cause_and_never_catches_up(
    scene: Scene, producer: AIOKafkaProducer
) -> None:
    await scene.create(3)
    sent = 0

    async def act() -> None:
        nonlocal sent
        sent += 1
        for number in range(3):
            await producer.send_and_wait(scene.topic, b"v", partition=number)
        await member.commit({scene.tp(number): sent for number in (0, 1)} | {scene.tp(2): 0})

    async with scene.member() as member, scene.monitor(interval_s=0.3, window_s=2) as monitor:
        await eventually(lambda: 3 == len(member.assignment()))
        sweep = await watched(monitor, act, lambda group: group.status is Status.STALLED)

    parts = partitions(sweep)
    assert Cause.ONE_PARTITION is sweep.groups[0].cause
    assert [None, None, Cause.STALLED_COMMITS] == [parts[number].cause for number in range(3)]
    assert [0.0, 0.0, inf] == [_catch_up(parts[number]) for number in range(3)]


def _catch_up(part: PartitionLag) -> float | None:
    return None if part.velocity is None else part.velocity.catch_up_s


async def test_a_group_that_is_too_slow_falls_behind_for_ever(
    scene: Scene, producer: AIOKafkaProducer
) -> None:
    await scene.create()
    handled = 0

    async def act() -> None:
        nonlocal handled
        handled += 1
        for _ in range(5):
            await producer.send_and_wait(scene.topic, b"v", partition=0)
        await member.commit({scene.tp(): handled})

    async with scene.member() as member, scene.monitor(interval_s=0.3, window_s=2) as monitor:
        await eventually(lambda: bool(member.assignment()))
        sweep = await watched(monitor, act, lambda group: group.cause is not None)

    velocity = only(sweep).velocity
    assert (Status.LAGGING, Cause.INFLOW_ABOVE_CAPACITY) == (
        sweep.groups[0].status, sweep.groups[0].cause
    )  # fmt: skip
    assert velocity is not None
    assert inf == velocity.catch_up_s
    assert 5 == pytest.approx(velocity.inflow / velocity.commits, rel=0.1)


async def test_a_group_that_catches_up_has_a_time_left(
    scene: Scene, producer: AIOKafkaProducer
) -> None:
    await scene.create()
    await scene.produce(*[None] * 200)
    await scene.commit({0: 0})
    handled = 0
    seen: list[PartitionLag] = []

    async def act() -> None:
        nonlocal handled
        handled += 10
        await producer.send_and_wait(scene.topic, b"v", partition=0)
        await member.commit({scene.tp(): handled})

    def caught_up(group: GroupLag) -> bool:
        (part,) = group.partitions
        if _catch_up(part):
            seen.append(part)
        return not part.lag

    async with scene.member() as member, scene.monitor(interval_s=0.3, window_s=2) as monitor:
        await eventually(lambda: bool(member.assignment()))
        sweep = await watched(monitor, act, caught_up)

    assert (Status.OK, None) == (sweep.groups[0].status, sweep.groups[0].cause)
    assert 0 == _catch_up(only(sweep))
    for part in seen:
        assert part.velocity is not None
        # Ten are committed for each one that arrives.
        assert 10 == pytest.approx(part.velocity.commits / part.velocity.inflow, rel=0.1)
        assert part.velocity.catch_up_s == pytest.approx(
            part.lag / (part.velocity.commits - part.velocity.inflow), rel=0.01
        )
    assert len(seen) > 5


async def test_a_group_without_members_says_so_at_once(scene: Scene) -> None:
    await scene.create()
    await scene.produce(None)
    await scene.commit({0: 0})
    async with scene.monitor() as monitor:
        sweep = await monitor.sweep()

    assert (None, Cause.NO_MEMBERS) == (sweep.groups[0].status, sweep.groups[0].cause)
    assert only(sweep).velocity is None


async def test_a_hot_partition_is_found_also_beside_partitions_without_commits(
    scene: Scene, producer: AIOKafkaProducer
) -> None:
    await scene.create(4)
    await scene.commit({0: 0, 1: 0})

    async def act() -> None:
        for number in [0] * 9 + [1, 2, 3]:
            await producer.send_and_wait(scene.topic, b"v", partition=number)

    async with scene.monitor(interval_s=0.3, window_s=2) as monitor:
        sweep = await watched(
            monitor,
            act,
            lambda group: (share := group.partitions[0].inflow_share) is not None and share.hot,
        )

    shares = [part.inflow_share for part in partitions(sweep).values()]
    assert [True, False] == [share is not None and share.hot for share in shares]
    assert [0.75, 1 / 12] == [
        None if share is None else pytest.approx(share.share, abs=0.05) for share in shares
    ]
