"""Dead letters that clients cannot read: listed with the reason, and no obstacle for others."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from tests.tracing.dlq.cluster import Cluster
from tests.tracing.kafka.unreadable_records import batch, write, zstd
from tracing import Provenance, Telemetry
from tracing.dlq import Connection, Letter, letters, replay
from tracing.dlq import places as dlq_places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import AIOKafkaConsumer
    from aiokafka.structs import TopicPartition

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
def cluster(kafka_servers: str) -> Cluster:
    """Three dead letters in partition 0; unreadable ones, a zstd batch and a last one in 1."""
    cluster = Cluster(kafka_servers)

    async def fill() -> None:
        await cluster.fill()
        lost = Provenance(
            topic=cluster.topic, partition=0, offset=3, timestamp_ms=1, group="payment",
            exception="E", message="", attempts=1, first_failed_at_ms=1, failed_at_ms=1,
        )  # fmt: skip
        values = [b"fit-0", b"bad-1", b"fit-2", b"bad-3", b"fit-4"]
        await write(cluster.servers, cluster.of_payment, batch(values, lost.headers()), 1)
        await write(cluster.servers, cluster.of_payment, zstd(batch([b"z", b"z"])), 1)
        async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
            await producer.send_and_wait(
                cluster.of_payment, b"last", partition=1, headers=lost.headers()
            )

    asyncio.run(fill())
    return cluster


async def read(cluster: Cluster, partition: int = 1) -> list[Letter]:
    reading = letters(Connection(cluster.servers), [cluster.of_payment])
    return [dead_letter async for dead_letter in reading if dead_letter.id.partition == partition]


def test_all_dead_letters_around_them_are_read(cluster: Cluster) -> None:
    dead_letters = asyncio.run(read(cluster))

    assert [b"fit-0", b"bad-1", b"fit-2", b"bad-3", b"fit-4"] == [
        each.record.value for each in dead_letters[:5]
    ]
    assert [0, 1, 2, 3, 4, 5, 7] == [each.id.offset for each in dead_letters]
    assert b"last" == dead_letters[-1].record.value
    assert [1, 3, 5] == [each.id.offset for each in dead_letters if each.problem]
    assert "not UTF-8" in (dead_letters[1].problem or "")
    assert "zstd" in (dead_letters[5].problem or "")
    assert 3 == len(asyncio.run(read(cluster, partition=0)))


def test_list_and_show_name_them_and_succeed(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, opened = f"{cluster.of_payment}/1/1", f"{cluster.of_payment}/1/5"

    assert 0 == cluster.run("list", "--topic", cluster.of_payment)
    output = capsys.readouterr().out
    assert f"{bad}: the name of a header is not UTF-8" in output
    assert "9 dead letters" in output
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--json")
    document = json.loads(capsys.readouterr().out)
    assert (9, 3, {}) == (document["letters"], document["unreadable"], document["unread"])
    assert {bad, opened} <= document["problems"].keys()
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--each")
    assert 3 == capsys.readouterr().out.count("cannot be read: ")
    assert 0 == cluster.run("show", bad, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert "the name of a header is not UTF-8" == shown["problem"]
    assert "payment" == shown["group"]
    assert "mark-b\\xffd" in shown["headers"]
    assert 0 == cluster.run("show", opened)
    assert "zstd" in capsys.readouterr().out
    assert 0 == cluster.run("show", f"{cluster.of_payment}/0/1")


def test_a_replay_sends_what_can_be_sent_and_names_the_rest(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == cluster.run("replay", "--topic", cluster.of_payment, "--yes", "--json")

    document = json.loads(capsys.readouterr().out)
    assert (9, 1) == (document["replayed"], document["failed"])
    assert "zstd" in document["failures"][f"{cluster.of_payment}/1/5"]
    values = {record.value for record in asyncio.run(cluster.records())}
    assert {b"bad-1", b"fit-4", b"last", b"secret-1"} <= values


def test_a_purge_deletes_them_as_well(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == cluster.run("purge", "--topic", cluster.of_payment, "--all", "--yes", "--json")

    assert 10 == json.loads(capsys.readouterr().out)["deleted"]
    assert [] == asyncio.run(read(cluster))


def test_a_purge_deletes_the_whole_of_a_batch_that_cannot_be_opened(cluster: Cluster) -> None:
    last = f"{cluster.of_payment}/1/5"
    assert 0 == cluster.run("purge", "--up-to", last, "--yes")

    assert [7] == [dead_letter.id.offset for dead_letter in asyncio.run(read(cluster))]


def test_a_topic_that_may_not_be_read_does_not_hide_the_others(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = cluster.of_shipping
    original = dlq_places.extents_at_once

    async def some_refused(
        consumer: AIOKafkaConsumer, asked: list[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        if any(tp.topic == refused for tp in asked):
            raise TopicAuthorizationFailedError(refused)
        return await original(consumer, asked)

    monkeypatch.setattr(dlq_places, "extents_at_once", some_refused)
    both = ("--topic", cluster.of_payment, "--topic", refused)

    assert 1 == cluster.run("list", *both, "--json")
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert 9 == document["letters"]
    assert {f"{refused}[0]", f"{refused}[1]"} == document["unread"].keys()
    assert f"{refused}[0] was not read: TopicAuthorizationFailedError" in captured.err
    assert 1 == cluster.run("list", "--topic", refused)
    assert "the cluster does not allow this" in capsys.readouterr().err


async def test_a_dead_letter_that_holds_only_bytes_is_not_replayed(kafka_servers: str) -> None:
    cluster = Cluster(kafka_servers)
    await cluster.fill()
    lost = Provenance(
        topic=cluster.topic, partition=0, offset=3, timestamp_ms=1, group="payment",
        exception="UnreadableRecord", message="", attempts=1, first_failed_at_ms=1,
        failed_at_ms=1, unreadable="bytes",
    )  # fmt: skip
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
        await producer.send_and_wait(
            cluster.of_payment, b"\x00\x01", partition=1, headers=lost.headers()
        )
    connection = Connection(kafka_servers)

    async def stream() -> AsyncIterator[Letter]:
        for dead_letter in await read(cluster):
            yield dead_letter

    result = await replay(connection, stream(), Telemetry("orders"))

    assert (0, 1) == (result.sent, result.failures)
    assert "bytes" in next(iter(result.failed.values()))
