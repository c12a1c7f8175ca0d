"""Which dead letters are listed, and that text from a record harms no terminal or program."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.tracing.dlq.cluster import Cluster
from tracing import Provenance
from tracing.dlq import Connection, LetterId, letters

pytestmark = pytest.mark.integration


@pytest.fixture(params=["embedded_servers", pytest.param("kafka_servers", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    cluster = Cluster(request.getfixturevalue(request.param))
    asyncio.run(cluster.fill())
    return cluster


async def add_hostile(cluster: Cluster) -> None:
    """Add a dead letter whose error type would move the cursor and end the line."""
    async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
        lost = Provenance(
            topic=cluster.topic, partition=0, offset=0, timestamp_ms=1, group="payment",
            exception="\x1b[2J\nE\u202e", message="", attempts=1, first_failed_at_ms=1,
            failed_at_ms=1,
        )  # fmt: skip
        await producer.send_and_wait(cluster.of_payment, b"v", headers=lost.headers(), partition=1)


def test_each_with_json_is_one_document(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--each", "--json")
    assert [1, 3, 5] == [
        dead_letter["offset"] for dead_letter in json.loads(capsys.readouterr().out)
    ]

    absent = ("--topic", cluster.of_payment, "--group", "absent")
    assert 0 == cluster.run("list", *absent, "--each", "--json")
    assert [] == json.loads(capsys.readouterr().out)


async def test_some_dead_letters_can_be_read_alone_and_others_behind_a_place(
    cluster: Cluster,
) -> None:
    topic = cluster.of_payment

    async def read(**options: Any) -> list[int]:
        reading = letters(Connection(cluster.servers), [topic], **options)
        return [dead_letter.id.offset async for dead_letter in reading]

    assert [0, 2] == await read(only=[LetterId(topic, 0, 2), LetterId(topic, 0, 0)])
    assert [1] == await read(only=LetterId(topic, 0, 1))
    assert [] == await read(only=[])
    assert [1, 2] == await read(after=[LetterId(topic, 0, 0), LetterId(topic, 1, 5)])
    assert [] == await read(after=[LetterId(topic, 0, 2)])


def test_text_from_a_dead_letter_is_escaped(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(add_hostile(cluster))
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--each", "--error", "*E*")

    output = capsys.readouterr().out
    assert r"\x1b[2J\nE\u202e" in output
    assert {"\n"} == {character for character in output if not character.isprintable()}


def test_dead_letter_topics_and_source_topics_can_be_named_together(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Cluster(cluster.servers)
    asyncio.run(other.fill())
    assert 0 == cluster.run("list", "--topic", other.of_payment, "--topic", cluster.topic, "--json")

    groups = json.loads(capsys.readouterr().out)["groups"]
    assert {other.of_payment, cluster.of_payment, cluster.of_shipping} == {
        group["dead_letter_topic"] for group in groups
    }


def test_a_limit_on_groups_is_refused(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == cluster.run("list", "--limit", "1")
    assert "--limit needs --each" in capsys.readouterr().err


def test_a_long_payload_is_cut_and_the_cut_is_shown(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    async def large() -> None:
        async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
            lost = Provenance(
                topic=cluster.topic, partition=0, offset=0, timestamp_ms=1, group="payment",
                exception="E", message="", attempts=1, first_failed_at_ms=1, failed_at_ms=1,
            )  # fmt: skip
            await producer.send_and_wait(
                cluster.of_payment, b"x" * 5000, partition=1, headers=lost.headers()
            )

    asyncio.run(large())
    assert 0 == cluster.run("show", f"{cluster.of_payment}/1/0", "--payload", "--json")

    document = json.loads(capsys.readouterr().out)
    assert ("x" * 2000, 2000, 5000) == (
        document["value"],
        document["value_cut_to_bytes"],
        document["value_bytes"],
    )
