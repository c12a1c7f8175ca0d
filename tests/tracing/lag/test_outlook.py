"""Velocities, hot partitions and causes on the embedded broker and on Apache Kafka."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from tests.tracing.lag.scene import Scene, only, partitions, watched
from tracing.lag import Cause, GroupLag, PartitionLag, Status
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.integration]


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(str(request.getfixturevalue(f"{request.param}_servers")))


@pytest.fixture
async def producer(scene: Scene) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=scene.servers) as producer:
        yield producer


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
        # While a busy machine makes the commits too irregular, there is no time left.
        if 0 < (_catch_up(part) or 0) < inf:
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


async def test_a_broker_without_settings_leaves_the_figure_out_and_nothing_else(
    embedded_servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(embedded_servers)
    await scene.create()
    await scene.produce(*[None] * 3)
    await scene.commit({0: 1})
    async with scene.monitor() as monitor:
        await monitor.sweep()
        caplog.clear()
        sweep = await monitor.sweep()

    assert ("settings of topics, which the brokers do not report",) == sweep.unknown_retention
    assert ((), (), None) == (sweep.unanswered, sweep.missing_rights, only(sweep).retention)
    assert (2, True) == (only(sweep).lag, only(sweep).exact)
    # The connection is still there.
    assert [] == caplog.messages
