"""Moving a stopped group past its next record, which is shown and kept."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin.records_to_delete import RecordsToDelete

from demo_pipeline.broker import create_topics
from tests.tracing.kafka.unreadable_records import batch, write, write_aborted, zstd
from tests.tracing.lag.scene import Scene, only
from tracing import Provenance
from tracing.__main__ import main
from tracing.dlq import Connection, Letter, letters
from tracing.dlq.skipping import skip_to, skippable
from tracing.testing import eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
async def scene(kafka_servers: str) -> Scene:
    """The group is at the second record, which is unreadable; a readable one follows."""
    scene = Scene(kafka_servers)
    await scene.create()
    await write(kafka_servers, scene.topic, batch([b"fit", b"bad", b"fit"]))
    await scene.commit({0: 1})
    return scene


def arguments(scene: Scene, offset: int, *more: str) -> list[str]:
    return [
        "dlq", "skip", "--bootstrap-servers", scene.servers, "--group", scene.group,
        "--topic", scene.topic, "--partition", "0", "--offset", str(offset), *more,
    ]  # fmt: skip


async def committed(scene: Scene) -> int | None:
    async with scene.monitor() as monitor:
        return only(await monitor.sweep()).committed


def test_the_record_is_shown_kept_and_skipped(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept.json"

    assert 0 == main(arguments(scene, 1, "--dry-run"))
    output = capsys.readouterr().out
    assert f"{scene.topic}[0] offset 1 cannot be read: the name of a header" in output
    assert "1 record follows in its batch" in output
    assert 1 == asyncio.run(committed(scene))
    assert 0 == main(arguments(scene, 1, "--yes", "--json", "--save", str(file)))

    document = json.loads(capsys.readouterr().out)
    assert (1, 2, str(file)) == (
        document["committed"], document["next_offset"], document["kept_in"]
    )  # fmt: skip
    assert 2 == asyncio.run(committed(scene))
    (kept,) = json.loads(file.read_text())["records"]
    assert (1, b"bad", b"k") == (
        kept["offset"], base64.b64decode(kept["value"]), base64.b64decode(kept["key"])
    )  # fmt: skip
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    # The group is at another offset now, and a file is never overwritten.
    assert 1 == main(arguments(scene, 1, "--yes", "--save", str(file)))
    assert "is not at offset 1" in capsys.readouterr().err


def test_an_existing_file_is_not_overwritten_and_nothing_is_skipped(
    scene: Scene, tmp_path: Path
) -> None:
    file = tmp_path / "kept.json"
    file.write_text("mine")

    assert 1 == main(arguments(scene, 1, "--yes", "--save", str(file)))

    assert "mine" == file.read_text()
    assert 1 == asyncio.run(committed(scene))


def test_the_whole_batch_can_be_kept_as_dead_letters(scene: Scene) -> None:
    dead = f"{scene.topic}.{scene.group}.dlq"
    asyncio.run(create_topics(scene.servers, {dead: 1}))

    assert 0 == main(arguments(scene, 1, "--yes", "--batch", "--to-dead-letters"))

    async def kept() -> list[Letter]:
        return [dead_letter async for dead_letter in letters(Connection(scene.servers), [dead])]

    first, second = asyncio.run(kept())
    assert [b"bad", b"fit"] == [first.record.value, second.record.value]
    assert isinstance(first.provenance, Provenance)
    assert ("tracing.UnreadableRecord", "record", 1, scene.group) == (
        first.provenance.exception, first.provenance.unreadable, first.provenance.offset,
        first.provenance.group,
    )  # fmt: skip
    assert 3 == asyncio.run(committed(scene))


def test_a_batch_that_cannot_be_opened_is_skipped_whole(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def write_more() -> None:
        await write(scene.servers, scene.topic, zstd(batch([b"z"] * 4)))
        await scene.commit({0: 3})

    asyncio.run(write_more())

    assert 0 == main(arguments(scene, 3, "--yes", "--save", str(tmp_path / "kept.json")))

    assert "offset 3 to 6 cannot be read: its batch is compressed" in capsys.readouterr().out
    assert 7 == asyncio.run(committed(scene))


@pytest.mark.parametrize("offset", [0, 2, 99])
def test_an_offset_that_is_not_the_groups_next_record_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str], offset: int
) -> None:
    assert 1 == main(arguments(scene, offset, "--yes"))

    assert f"is not at offset {offset}" in capsys.readouterr().err
    assert 1 == asyncio.run(committed(scene))


async def test_a_group_with_members_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scene.member() as member:
        await eventually(member.assignment, timeout_s=60)
        assert 1 == await asyncio.to_thread(main, arguments(scene, 1, "--yes"))

    assert "has 1 member: stop all first" in capsys.readouterr().err
    assert 1 == await committed(scene)


def test_a_group_without_commits_is_at_the_beginning(
    kafka_servers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(kafka_servers)

    async def fill() -> None:
        await scene.create()
        await write(kafka_servers, scene.topic, batch([b"bad", b"fit"]))
        async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
            await producer.send_and_wait(scene.topic, b"next", partition=0)

    async def next_value() -> bytes | None:
        consumer = AIOKafkaConsumer(
            scene.topic, bootstrap_servers=kafka_servers, group_id=scene.group
        )
        async with consumer:
            return (await consumer.getone()).value

    asyncio.run(fill())
    file = str(tmp_path / "kept.json")

    assert 1 == main(arguments(scene, 1, "--yes", "--save", file))
    assert "(it has committed nothing)" in capsys.readouterr().err
    assert 0 == main(arguments(scene, 0, "--yes", "--batch", "--save", file))
    assert b"next" == asyncio.run(next_value())


def test_a_missing_topic_is_reported_in_one_line(
    kafka_servers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == main(arguments(Scene(kafka_servers), 0, "--yes"))

    assert "may not be described" in capsys.readouterr().err


@pytest.mark.parametrize("offset", [1, 3])
async def test_an_aborted_record_is_skipped_and_no_other(
    kafka_servers: str, tmp_path: Path, offset: int
) -> None:
    # The next record of a group that reads uncommitted data, the default, may be aborted.
    scene = Scene(kafka_servers)
    await scene.create()
    await write_aborted(kafka_servers, scene.topic, [b"bad", b"x"])
    await write(kafka_servers, scene.topic, batch([b"fit"]))
    await scene.commit({0: offset})
    kept = tmp_path / "kept.json"

    code = await asyncio.to_thread(main, arguments(scene, offset, "--yes", "--save", str(kept)))

    # At 3 is the end marker of the transaction; the readable record after it stays.
    assert ({1: 0, 3: 1}[offset], {1: 2, 3: 3}[offset]) == (code, await committed(scene))
    assert kept.exists() is (code == 0)


async def test_a_group_before_the_start_of_the_log_is_at_its_start(
    kafka_servers: str, tmp_path: Path
) -> None:
    scene = Scene(kafka_servers)
    await scene.create()
    await scene.produce(1, 1)
    await write(kafka_servers, scene.topic, batch([b"bad", b"fit"]))
    await scene.commit({0: 1})
    async with scene.admin() as admin:
        await admin.delete_records({scene.tp(): RecordsToDelete(2)})

    kept = str(tmp_path / "kept.json")
    assert 0 == await asyncio.to_thread(main, arguments(scene, 2, "--yes", "--save", kept))

    assert 3 == await committed(scene)


async def test_a_group_that_committed_meanwhile_is_not_moved(
    scene: Scene,
) -> None:
    connection = Connection(scene.servers)
    skip = await skippable(connection, scene.group, scene.tp(), 1)
    await scene.commit({0: 0})

    with pytest.raises(ValueError, match="has meanwhile committed 0"):
        await skip_to(connection, skip)

    assert 0 == await committed(scene)


async def test_a_group_whose_members_are_back_is_not_moved(scene: Scene) -> None:
    connection = Connection(scene.servers)
    skip = await skippable(connection, scene.group, scene.tp(), 1)

    async with scene.member() as member:
        await eventually(lambda: bool(member.assignment()))
        with pytest.raises(ValueError, match="has members again"):
            await skip_to(connection, skip)

    assert 1 == await committed(scene)
