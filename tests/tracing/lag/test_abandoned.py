"""Topics that a running group has left, on Apache Kafka: the embedded broker names no members."""

from __future__ import annotations

from contextlib import AsyncExitStack
from time import time
from typing import TYPE_CHECKING

import pytest

from tests.tracing.lag.newer_member import newer_member
from tests.tracing.lag.scene import Scene
from tracing import Telemetry
from tracing.lag import Cause, Status
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from tracing.lag import GroupLag, LagMonitor, PartitionLag

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


def ago_ms(seconds: float) -> int:
    return int((time() - seconds) * 1000)


@pytest.fixture
def scene(kafka_servers: str) -> Scene:
    return Scene(kafka_servers)


@pytest.fixture
def left(kafka_servers: str) -> Scene:
    """The topic that the group leaves."""
    return Scene(kafka_servers)


async def leave_behind(scene: Scene, left: Scene) -> None:
    """Let the group have old offsets on both topics, and an old record on the one that it left."""
    await scene.create()
    await left.create()
    await left.produce(ago_ms(600))
    await scene.commit({0: 0})
    await left.commit({0: 0}, scene.group)


async def swept(monitor: LagMonitor) -> tuple[GroupLag, dict[str, PartitionLag]]:
    (group,) = (await monitor.sweep()).groups
    return group, {part.topic: part for part in group.partitions}


async def until(monitor: LagMonitor, topic: str, status: Status | None) -> GroupLag:
    """Sweep until a topic has a status."""

    async def sweep() -> GroupLag | None:
        group, topics = await swept(monitor)
        return group if topics[topic].status is status else None

    group = await eventually(sweep, timeout_s=30)
    assert group is not None
    return group


async def test_a_topic_that_a_running_group_has_left_is_abandoned_and_decides_nothing(
    scene: Scene, left: Scene
) -> None:
    await leave_behind(scene, left)
    labels = {
        "messaging.consumer.group.name": scene.group,
        "messaging.destination.name": left.topic,
    }
    with Capture("lag") as capture:
        telemetry = Telemetry("lag", meter_provider=capture.meter_provider)
        monitor = scene.monitor(topics=[], telemetry=telemetry)
        async with scene.member() as member, monitor:
            await eventually(lambda: bool(member.assignment()))
            group, topics = await swept(monitor)
            reported = [
                capture.metric(f"pipeline.consumer.{name}", labels)
                for name in ("abandoned", "lag", "lag.time")
            ]
            status = capture.metric(
                "pipeline.consumer.status",
                {"messaging.consumer.group.name": scene.group, "status": "ok"},
            )

    assert ({scene.topic: Status.OK, left.topic: Status.ABANDONED}, False) == (
        {topic: part.status for topic, part in topics.items()}, topics[left.topic].assigned
    )  # fmt: skip
    assert 1 == topics[left.topic].lag
    assert topics[left.topic].lag_s == pytest.approx(600, abs=60)
    assert (Status.OK, 0, 0.0) == (group.status, group.lag, group.lag_s)
    assert ([1, None, None], 1) == (reported, status)


async def test_an_outage_of_a_group_that_has_left_a_topic_stays_visible(
    scene: Scene, left: Scene
) -> None:
    await leave_behind(scene, left)
    await scene.produce(None)
    async with scene.monitor(topics=[], interval_s=0.2, window_s=1) as monitor:
        async with scene.member() as member:
            await eventually(lambda: bool(member.assignment()))
            stalled = await until(monitor, scene.topic, Status.STALLED)
        empty = await until(monitor, left.topic, Status.DEAD)
        dead = await until(monitor, scene.topic, Status.DEAD)
        async with scene.member():
            again = await until(monitor, left.topic, Status.ABANDONED)

    assert (Status.STALLED, Status.ABANDONED) == (
        stalled.status, {part.topic: part.status for part in stalled.partitions}[left.topic]
    )  # fmt: skip
    assert ("Empty", Status.DEAD) == (empty.state, dead.status)
    assert "Stable" == again.state


@pytest.mark.parametrize(
    ("client", "status"), [("payment", Status.ABANDONED), ("fraud", Status.DEAD)]
)
async def test_a_group_that_its_application_has_renamed_is_abandoned_and_a_killed_one_is_dead(
    scene: Scene, client: str, status: Status
) -> None:
    await scene.create()
    await scene.produce(None)
    await scene.commit({0: 0})
    new = f"{scene.group}-new"
    async with scene.monitor(groups=[scene.group, new], interval_s=0.1, window_s=1) as monitor:
        async with scene.member(client_id="payment") as member:
            await eventually(lambda: bool(member.assignment()))
            await monitor.sweep()
        async with scene.member(new, client_id=client) as member:
            await eventually(lambda: bool(member.assignment()))

            async def sweep() -> GroupLag | None:
                groups = {group.group: group for group in (await monitor.sweep()).groups}
                old = groups.get(scene.group)
                return old if old is not None and old.status is status else None

            old = await eventually(sweep, timeout_s=30)
            assert old is not None
            assert monitor.last is not None
            remarks = monitor.last.remarks

    expected = (
        (new, Cause.REPLACED, 1) if status is Status.ABANDONED else (None, Cause.NO_MEMBERS, 0)
    )
    assert expected == (old.replaced_by, old.cause, len(remarks))
    assert ("Empty", 0) == (old.state, old.members)


async def test_a_group_that_ends_before_its_first_commit_is_dead(scene: Scene) -> None:
    await scene.create()
    async with scene.monitor(groups=[], interval_s=0.1, window_s=1) as monitor:
        async with scene.member() as member:
            await eventually(lambda: bool(member.assignment()))
            await monitor.sweep()
        await scene.produce(None)
        dead = await until(monitor, scene.topic, Status.DEAD)
        async with scene.member() as member:
            await eventually(lambda: bool(member.assignment()))
            await member.commit({scene.tp(): 1})
        caught_up = await until(monitor, scene.topic, Status.OK)

    (partition,) = dead.partitions
    assert ("Empty", 0, Cause.NO_MEMBERS) == (dead.state, dead.members, dead.cause)
    assert (None, 1, False) == (partition.committed, partition.lag, partition.assigned)
    assert (1, 0) == (caught_up.partitions[0].committed, caught_up.lag)


async def test_one_member_that_still_subscribes_is_enough(scene: Scene, left: Scene) -> None:
    await leave_behind(scene, left)
    async with AsyncExitStack() as members:
        first = await members.enter_async_context(scene.member())
        second = await members.enter_async_context(left.member(group=scene.group))
        async with scene.monitor(topics=[]) as monitor:
            await eventually(
                lambda: bool(first.assignment()) and bool(second.assignment()), timeout_s=30
            )
            _, topics = await swept(monitor)

    assert topics[left.topic].assigned
    assert topics[left.topic].status is None


async def test_a_group_of_the_newer_protocol_abandons_what_it_does_not_name(
    scene: Scene, left: Scene
) -> None:
    await leave_behind(scene, left)
    async with (
        newer_member(scene.servers, scene.group, topics=[scene.topic]),
        scene.monitor(topics=[]) as monitor,
    ):
        await until(monitor, left.topic, Status.ABANDONED)
        _, topics = await swept(monitor)

    assert Status.OK is topics[scene.topic].status
    assert topics[scene.topic].assigned


async def test_a_group_of_the_newer_protocol_abandons_what_its_pattern_does_not_match(
    scene: Scene, left: Scene
) -> None:
    await leave_behind(scene, left)
    async with (
        newer_member(scene.servers, scene.group, pattern=f"{scene.topic}.*") as heartbeat,
        scene.monitor(topics=[]) as monitor,
    ):

        async def assigned() -> bool:
            # The coordinator matches patterns in the background.
            await heartbeat()
            _, topics = await swept(monitor)
            return bool(topics[scene.topic].assigned)

        await eventually(assigned, timeout_s=30)
        _, topics = await swept(monitor)

    assert (Status.OK, Status.ABANDONED) == (
        topics[scene.topic].status, topics[left.topic].status
    )  # fmt: skip


async def test_a_pattern_that_matches_nothing_abandons_nothing(scene: Scene, left: Scene) -> None:
    await leave_behind(scene, left)
    async with (
        newer_member(scene.servers, scene.group, pattern="nothing-of-this-name") as heartbeat,
        scene.monitor(topics=[]) as monitor,
    ):
        await heartbeat()
        group, topics = await swept(monitor)

    assert 1 == group.members
    assert topics[left.topic].status is None
