"""A record that clients cannot read is a remark beside its partition, and never ends a sweep."""

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
    """Partition 0 is fit; the next record of 1 has a bad header name, and of 2 an unknown codec."""
    found = Scene(kafka_servers)
    await found.create(3)
    await found.produce(1000, 2000)
    await write(kafka_servers, found.topic, batch([b"fit", b"bad", b"fit"]), 1)
    await write(kafka_servers, found.topic, zstd(batch([b"fit", b"fit"])), 2)
    await found.commit({0: 1, 1: 1, 2: 0})
    return found


async def test_the_remark_says_which_record_and_why(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.monitor() as monitor:
        await monitor.sweep()
        found = partitions(await monitor.sweep())

    assert found[0].remark is None
    assert found[1].remark is not None
    assert "offset 1 cannot be read: the name of a header" in found[1].remark
    assert found[2].remark is not None
    assert "offset 0 cannot be read: its batch is compressed with zstd" in found[2].remark
    assert [(1, True), (2, True), (2, False)] == [
        (found[number].lag, found[number].exact) for number in range(3)
    ]
    assert all(each.lag_s is not None for each in found.values())
    logged = [each.getMessage() for each in caplog.records if "cannot be read" in each.getMessage()]
    assert 2 == len(logged)
    assert all(f"group {scene.group} on {scene.topic}" in line for line in logged)


def test_the_command_shows_it_to_people_and_machines(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["lag", "--bootstrap-servers", scene.servers, "--group", scene.group]

    assert 0 == main(arguments)
    output = capsys.readouterr().out
    assert f"group {scene.group} on {scene.topic}[1]: the record at offset 1" in output
    assert 0 == main([*arguments, "--json"])
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert [False, True, True] == ["remark" in each for each in group["partitions"]]


async def test_a_dead_letter_that_cannot_be_read_is_remarked_beside_its_topic(
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


async def test_one_partitions_trouble_leaves_the_others_their_times(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = batches.first_record

    def broken(data: bytes, offset: int, aborted: Any = None) -> tuple[First | None, int]:
        if b"b\xffd" in data:
            raise IndexError
        return known(data, offset, aborted)

    monkeypatch.setattr(oldest, "first_record", broken)
    async with scene.monitor() as monitor:
        sweep = await monitor.sweep()

    assert [True, False] == [partitions(sweep)[number].exact for number in range(2)]
    assert f"records of {scene.topic}[1]: IndexError" in sweep.unanswered


@pytest.mark.parametrize("error", [OSError, ValueError, IndexError, KafkaConnectionError])
async def test_a_broker_whose_answer_makes_no_sense_does_not_end_a_sweep(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async with scene.monitor() as monitor:
        client: Any = monitor._cluster._client
        known = client.send

        async def send(node: int, request: Any) -> Any:
            if type(request).__name__ == "FetchRequest":
                raise error("no sense")
            return await known(node, request)

        monkeypatch.setattr(client, "send", send)
        sweep = await monitor.sweep()

    assert [1, 2, 2] == [found.lag for found in sweep.groups[0].partitions]
    assert any(what.startswith("records of broker") for what in sweep.unanswered)
