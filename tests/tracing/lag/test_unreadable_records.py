"""A record that clients cannot read becomes a remark and never ends a sweep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaConnectionError

from tests.tracing.kafka.unreadable_records import batch, write, zstd
from tests.tracing.lag.scene import Scene, partitions
from tracing.__main__ import main
from tracing.lag import batches, oldest

if TYPE_CHECKING:
    from tracing.lag.batches import First

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
async def scene(kafka_servers: str) -> Scene:
    """0 is readable; the next record of 1 has a bad header name, that of 2 an unknown codec."""
    scene = Scene(kafka_servers)
    await scene.create(3)
    await scene.produce(1000, 2000)
    await write(kafka_servers, scene.topic, batch([b"fit", b"bad", b"fit"]), 1)
    await write(kafka_servers, scene.topic, zstd(batch([b"fit", b"fit"])), 2)
    await scene.commit({0: 1, 1: 1, 2: 0})
    return scene


async def test_the_remark_names_the_record_and_the_reason(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.monitor() as monitor:
        await monitor.sweep()
        parts = partitions(await monitor.sweep())

    assert parts[0].remark is None
    assert parts[1].remark is not None
    assert "offset 1 cannot be read: the name of a header" in parts[1].remark
    assert parts[2].remark is not None
    assert "offset 0 cannot be read: its batch is compressed with zstd" in parts[2].remark
    assert [(1, True), (2, True), (2, False)] == [
        (parts[number].lag, parts[number].exact) for number in range(3)
    ]
    assert all(each.lag_s is not None for each in parts.values())
    logged = [each.getMessage() for each in caplog.records if "cannot be read" in each.getMessage()]
    assert 2 == len(logged)
    assert all(f"group {scene.group} on {scene.topic}" in line for line in logged)


def test_the_command_shows_the_remark_in_table_and_json(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["lag", "--bootstrap-servers", scene.servers, "--group", scene.group]

    assert 0 == main([*arguments, "--for", "0"])
    output = capsys.readouterr().out
    assert f"group {scene.group} on {scene.topic}[1]: the record at offset 1" in output
    assert 0 == main([*arguments, "--json"])
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert [False, True, True] == ["remark" in each for each in group["partitions"]]


async def test_an_unreadable_dead_letter_is_a_remark_on_its_topic(
    kafka_servers: str,
) -> None:
    scene = Scene(kafka_servers)
    dead_letters = Scene(kafka_servers, f"{scene.name}.payment.dlq")
    await scene.create()
    await dead_letters.create()
    await write(kafka_servers, dead_letters.topic, batch([b"bad"]))
    async with scene.monitor(topics=[dead_letters.topic]) as monitor:
        sweep = await monitor.sweep()

    (depth,) = sweep.dead_letters
    assert (1, scene.topic, "payment") == (depth.depth, depth.destination, depth.group)
    assert f"{dead_letters.topic}/0/0 cannot be read" in (depth.remark or "")


async def test_an_error_on_one_partition_leaves_the_times_of_the_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = batches.first_record

    def broken(data: bytes, offset: int, aborted: Any = None) -> tuple[First | None, int]:
        if b"b\xffd" in data:
            raise IndexError
        return original(data, offset, aborted)

    monkeypatch.setattr(oldest, "first_record", broken)
    async with scene.monitor() as monitor:
        sweep = await monitor.sweep()

    assert [True, False] == [partitions(sweep)[number].exact for number in range(2)]
    assert f"records of {scene.topic}[1]: IndexError" in sweep.unanswered


@pytest.mark.parametrize("error", [OSError, ValueError, IndexError, KafkaConnectionError])
async def test_an_invalid_answer_of_a_broker_does_not_end_a_sweep(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async with scene.monitor() as monitor:
        client: Any = monitor._cluster._client
        original = client.send

        async def send(node: int, request: Any) -> Any:
            if type(request).__name__ == "FetchRequest":
                raise error("no sense")
            return await original(node, request)

        monkeypatch.setattr(client, "send", send)
        sweep = await monitor.sweep()

    assert [1, 2, 2] == [part.lag for part in sweep.groups[0].partitions]
    assert any(what.startswith("records of broker") for what in sweep.unanswered)
