"""Topics of commands: a second group that reads one is reported."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from tests.tracing.lag.scene import Scene
from tests.tracing.lag.test_monitor import sweeping
from tracing import Telemetry
from tracing.__main__ import main
from tracing.lag import CommandTopic, Connection, GroupLag, LagMonitor, PartitionLag, Status, Sweep
from tracing.lag.gauges import LagGauges
from tracing.lag.model import readers_of_commands
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

READERS = "pipeline.command.readers"
TOPIC = "messaging.destination.name"
SHARED = CommandTopic("pay.commands", ("audit", "payment"))
REMARK = "commands in pay.commands are read by 2 groups, and each carries them out: audit, payment"


def _group(
    name: str, topic: str, *, assigned: bool | None = True, status: Status = Status.OK
) -> GroupLag:
    parts = tuple(
        PartitionLag(topic, number, 0, 0, 0, 0.0, True, assigned, status) for number in range(2)
    )
    return GroupLag(name, "Stable", 1, parts, status)


def _commands(*groups: GroupLag) -> tuple[CommandTopic, ...]:
    return readers_of_commands(groups, lambda topic: topic.endswith(".commands"))


def test_a_topic_of_commands_has_the_groups_that_read_it_now() -> None:
    payment, audit = _group("payment", "pay.commands"), _group("audit", "pay.commands")

    assert (SHARED,) == _commands(payment, audit)
    assert () == _commands(_group("payment", "pay.events"), _group("audit", "pay.events"))


@pytest.mark.parametrize(
    "other",
    [
        _group("audit", "pay.commands", assigned=False),
        _group("audit", "pay.commands", assigned=False, status=Status.DEAD),
        _group("audit", "pay.commands", assigned=None, status=Status.ABANDONED),
    ],
)
def test_a_group_that_is_gone_is_no_second_reader(other: GroupLag) -> None:
    commands = _commands(_group("payment", "pay.commands"), other)

    assert (CommandTopic("pay.commands", ("payment",)),) == commands
    assert () == Sweep(0.0, 0.1, commands=commands).remarks


def test_a_second_reader_is_a_remark_and_a_value_of_the_gauge() -> None:
    sweep = Sweep(0.0, 0.1, commands=(SHARED, CommandTopic("ship.commands", ("shipping",))))

    assert (REMARK,) == sweep.remarks
    with Capture("lag") as capture:
        metrics = Telemetry("lag", meter_provider=capture.meter_provider).metrics
        gauges = LagGauges(metrics, partitions=True, max_series=100)
        gauges.start()
        gauges.show(sweep, valid_s=60)
        assert 2 == capture.metric(READERS, {TOPIC: "pay.commands"})
        assert 1 == capture.metric(READERS, {TOPIC: "ship.commands"})


async def test_a_second_reader_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shared = Sweep(1.0, 0.1, commands=(SHARED,))
    monitor = sweeping(monkeypatch, shared, shared)
    with caplog.at_level(logging.WARNING):
        await monitor.sweep()
        await monitor.sweep()

    assert [REMARK] == caplog.messages


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        LagMonitor(Connection("127.0.0.1:1"), command_topics=["*.commands"])


def _member(scene: Scene, group: str) -> AbstractAsyncContextManager[object]:
    return scene.member(group=group)


@pytest.mark.kafka
@pytest.mark.integration
async def test_two_groups_on_a_topic_of_commands_are_seen_from_outside(
    kafka_servers: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(kafka_servers)
    await scene.create()
    groups = [f"{scene.name}-a", f"{scene.name}-b"]
    monitor = LagMonitor(Connection(kafka_servers), topics=[scene.topic], command_topics=["lag-.*"])
    async with _member(scene, groups[0]), monitor:

        async def read_by(*expected: str) -> bool:
            commands = (await monitor.sweep()).commands
            return [CommandTopic(scene.topic, expected)] == list(commands)

        assert await eventually(lambda: read_by(groups[0]), timeout_s=30)
        async with _member(scene, groups[1]):
            assert await eventually(lambda: read_by(*groups), timeout_s=30)
            arguments = [
                "lag", "--bootstrap-servers", scene.servers, "--topic", scene.topic,
                "--command-topic", "lag-.*",
            ]  # fmt: skip
            caplog.clear()
            assert 0 == await asyncio.to_thread(main, [*arguments, "--json"])
            document = json.loads(capsys.readouterr().out)
            assert [{"topic": scene.topic, "groups": groups}] == document["commands"]
            assert 0 == await asyncio.to_thread(main, arguments)
            assert "are read by 2 groups" in " ".join(capsys.readouterr().out.split())
            # On a terminal, it would appear twice.
            assert [] == caplog.messages
