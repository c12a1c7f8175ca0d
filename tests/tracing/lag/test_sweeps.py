"""Sweeps on the embedded broker and on Apache Kafka."""

from __future__ import annotations

import asyncio
from time import monotonic, time
from typing import TYPE_CHECKING, Final

import pytest
from aiokafka.errors import KafkaConnectionError

from tests.tracing.lag.scene import Scene, only, partitions
from tracing.kafka.cluster import Cluster
from tracing.kafka.groups import Groups
from tracing.lag import Connection, LagMonitor
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.structs import TopicPartition

    from tracing.kafka.groups import Group, GroupCommits

pytestmark = [pytest.mark.integration]

UNSUPPORTED: Final[Mapping[str, str]] = {
    "assignments": "the embedded broker does not report what members subscribe to and have",
    "batches": "the embedded broker reports a log's end as if its last batch had only one record",
}
"""Features that the embedded broker lacks."""


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(str(request.getfixturevalue(f"{request.param}_servers")))


def expected_to_fail(request: pytest.FixtureRequest, what: str) -> None:
    """Mark what the embedded broker cannot do; strict, so that the list stays true."""
    if "embedded" in request.node.callspec.params.values():
        request.applymarker(pytest.mark.xfail(reason=UNSUPPORTED[what], strict=True))


def ago_ms(seconds: float) -> int:
    return int((time() - seconds) * 1000)


async def test_lag_is_measured_in_records_and_seconds_and_grows_without_a_consumer(
    scene: Scene,
) -> None:
    await scene.create()
    await scene.produce(ago_ms(900), ago_ms(600), ago_ms(300))
    await scene.commit({0: 1})
    async with scene.monitor() as monitor:
        began = monotonic()
        first = only(await monitor.sweep())
        await asyncio.sleep(0.5)
        second = only(await monitor.sweep())
        longest_s = monotonic() - began
        assert monitor.last is not None
        assert second == only(monitor.last)

    assert (1, 3, 2, True) == (first.committed, first.end, first.lag, first.exact)
    assert first.lag_s == pytest.approx(600, abs=45)
    assert first.lag_s is not None
    assert second.lag_s is not None
    assert 0.4 < second.lag_s - first.lag_s < longest_s + 0.1


async def test_a_group_that_committed_the_end_has_no_lag(scene: Scene) -> None:
    await scene.create()
    await scene.produce(ago_ms(90), ago_ms(60))
    await scene.commit({0: 2})
    async with scene.monitor() as monitor:
        sweep = await monitor.sweep()

    assert (0, 0.0, True, "ok") == (
        only(sweep).lag, only(sweep).lag_s, only(sweep).exact, only(sweep).status
    )  # fmt: skip
    assert ("ok", 0) == (sweep.groups[0].status, sweep.groups[0].lag)


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_a_record_in_the_middle_of_a_batch_is_read(
    scene: Scene, compression: str | None, request: pytest.FixtureRequest
) -> None:
    expected_to_fail(request, "batches")
    await scene.create()
    await scene.batch([ago_ms(500), ago_ms(400), ago_ms(300), ago_ms(200)], compression)
    await scene.commit({0: 2})
    async with scene.monitor() as monitor:
        partition = only(await monitor.sweep())

    assert partition.exact
    assert partition.lag_s == pytest.approx(300, abs=45)


async def test_groups_at_different_offsets_of_a_partition_have_their_own_times(
    scene: Scene,
) -> None:
    await scene.create()
    await scene.produce(*(ago_ms(600 - 100 * number) for number in range(5)))
    groups = [f"{scene.group}-{offset}" for offset in range(6)]
    for offset, group in enumerate(groups):
        await scene.commit({0: offset}, group)
    async with scene.monitor(groups=groups) as monitor:
        sweep = await monitor.sweep()

    assert groups == [group.group for group in sweep.groups]
    for expected, each in zip([600, 500, 400, 300, 200, 0], sweep.groups, strict=True):
        assert each.lag_s == pytest.approx(expected, abs=45)


async def test_without_reading_times_are_estimated_from_the_growth_of_the_log(scene: Scene) -> None:
    await scene.create()
    # The record's own timestamp is not used.
    await scene.produce(ago_ms(5000))
    await scene.commit({0: 1})
    async with scene.monitor(read=False) as monitor:
        before = only(await monitor.sweep())
        began = monotonic()
        await scene.produce(ago_ms(5000))
        await monitor.sweep()
        await asyncio.sleep(1)
        partition = only(await monitor.sweep())
        longest_s = monotonic() - began

    assert (0, 0.0, True) == (before.lag, before.lag_s, before.exact)
    assert (1, False) == (partition.lag, partition.exact)
    assert partition.lag_s is not None
    assert 0.9 < partition.lag_s < longest_s + 0.1


async def test_without_reading_the_first_sweep_knows_no_time(scene: Scene) -> None:
    await scene.create()
    await scene.produce(ago_ms(50))
    await scene.commit({0: 0})
    async with scene.monitor(read=False) as monitor:
        began = monotonic()
        first = only(await monitor.sweep())
        await asyncio.sleep(0.3)
        second = only(await monitor.sweep())
        longest_s = monotonic() - began

    assert (1, None, False) == (first.lag, first.lag_s, first.exact)
    assert second.lag_s is not None
    assert 0.2 < second.lag_s < longest_s + 0.1


async def test_without_a_commit_lag_counts_from_the_first_sweep(
    scene: Scene, request: pytest.FixtureRequest
) -> None:
    expected_to_fail(request, "assignments")
    await scene.create()
    await scene.produce(ago_ms(90))
    async with scene.member(), scene.monitor() as monitor:
        before = only(await monitor.sweep())
        await scene.produce(None)
        after = only(await monitor.sweep())
    async with scene.monitor() as monitor:
        left = await monitor.sweep()

    assert (None, 1, 0, 0.0, True) == (
        before.committed, before.end, before.lag, before.lag_s, before.assigned
    )  # fmt: skip
    assert (None, 1) == (after.committed, after.lag)
    assert after.lag_s == pytest.approx(0, abs=2)
    assert () == left.groups


async def test_a_topic_that_a_running_group_has_left_is_abandoned(
    scene: Scene, request: pytest.FixtureRequest
) -> None:
    expected_to_fail(request, "assignments")
    left = Scene(scene.servers)
    for each in (scene, left):
        await each.create()
        await each.produce(None)
        await each.commit({0: 0}, scene.group)
    async with scene.member() as member, scene.monitor(topics=[]) as monitor:
        await eventually(lambda: bool(member.assignment()))
        (group,) = (await monitor.sweep()).groups

    assert {(left.topic, "abandoned"), (scene.topic, None)} == {
        (part.topic, part.status) for part in group.partitions
    }


async def test_a_group_that_the_cluster_does_not_answer_for_is_silent_and_not_gone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unanswered(groups: Groups, group: Group) -> None:
        groups._cluster.remarks.unanswered.add(f"group {group.name}: RequestTimedOutError")

    await scene.create()
    await scene.commit({0: 0})
    sweeps = []
    async with scene.monitor() as monitor:
        sweeps.append(await monitor.sweep())
        with monkeypatch.context() as patch:
            patch.setattr(Groups, "commits", unanswered)
            sweeps += [await monitor.sweep(), await monitor.sweep()]
        sweeps.append(await monitor.sweep())

    assert [(), (scene.group,), (scene.group,), ()] == [sweep.silent for sweep in sweeps]
    assert [1, 0, 0, 1] == [len(sweep.groups) for sweep in sweeps]


async def test_a_deleted_group_is_gone_while_partitions_of_others_have_no_leader(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Cluster.offsets

    async def offsets(
        cluster: Cluster, asked: set[TopicPartition], which: int
    ) -> dict[TopicPartition, int]:
        cluster.remarks.unanswered.add("1 partition: no leader")
        return {
            tp: end
            for tp, end in (await original(cluster, asked, which)).items()
            if tp.partition == 0
        }

    async def no_commits(groups: Groups, group: Group) -> GroupCommits | None:
        commits = await commits_of(groups, group)
        return commits if commits is None or group.name != deleted else commits._replace(offsets={})

    await scene.create(2)
    deleted, leaderless = f"{scene.group}-deleted", f"{scene.group}-leaderless"
    await scene.commit({0: 0}, deleted)
    await scene.commit({1: 0}, leaderless)
    async with scene.monitor(groups=[deleted, leaderless]) as monitor:
        before = await monitor.sweep()
        commits_of = Groups.commits
        monkeypatch.setattr(Groups, "commits", no_commits)
        monkeypatch.setattr(Cluster, "offsets", offsets)
        after = await monitor.sweep()

    assert [(), (leaderless,)] == [before.silent, after.silent]


async def test_a_record_from_the_future_has_waited_for_0_seconds(scene: Scene) -> None:
    await scene.create()
    await scene.produce(ago_ms(-600))
    await scene.commit({0: 0})
    async with scene.monitor() as monitor:
        sweep = await monitor.sweep()

    assert (0.0, True, 1) == (only(sweep).lag_s, only(sweep).exact, sweep.clock_skews)


async def test_by_default_all_groups_are_listed(scene: Scene) -> None:
    await scene.create()
    await scene.commit({0: 0})
    async with scene.monitor(groups=[]) as monitor:
        sweep = await monitor.sweep()

    assert [scene.group] == [group.group for group in sweep.groups]
    assert () == sweep.missing_rights
    assert () == sweep.unanswered


async def test_a_missing_group_is_left_out(scene: Scene) -> None:
    await scene.create()
    async with scene.monitor(groups=["absent"]) as monitor:
        assert () == (await monitor.sweep()).groups


async def test_a_wrong_address_is_an_error() -> None:
    with pytest.raises(KafkaConnectionError):
        async with LagMonitor(Connection("127.0.0.1:1")):
            pass


async def test_a_monitor_works_only_in_its_block(scene: Scene) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await scene.monitor().sweep()


@pytest.mark.parametrize(
    "options",
    [{"interval_s": 0}, {"timeout_s": -1}, {"window_s": 1, "interval_s": 1}, {"max_series": 0}],
)
def test_invalid_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        LagMonitor(Connection("127.0.0.1:1"), **options)  # type: ignore[arg-type]  # on purpose


async def test_many_partitions_with_large_batches_are_all_read(scene: Scene) -> None:
    await scene.create(12)
    for number in range(12):
        await scene.large(number, ago_ms(1000 + 100 * number), 300_000)
    await scene.commit(dict.fromkeys(range(12), 0))
    async with scene.monitor() as monitor:
        parts = partitions(await monitor.sweep())

    assert all(part.exact for part in parts.values())
    assert parts[7].lag_s == pytest.approx(1700, abs=45)
