"""The dlq commands on Apache Kafka: tables, JSON, and what happens to the dead letters."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

import tracing
from tests.tracing.dlq.cluster import ORIGINAL, Cluster
from tracing import Provenance, Replay, Telemetry, TracedConsumer
from tracing.__main__ import main
from tracing.dlq import Connection, Letter, letters, replay
from tracing.testing import Capture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
def cluster(kafka_servers: str) -> Cluster:
    cluster = Cluster(kafka_servers)
    asyncio.run(cluster.fill())
    return cluster


def test_dead_letters_are_listed_by_group_and_error(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cluster.run("list", "--topic", cluster.topic, "--json")

    document = json.loads(capsys.readouterr().out)
    assert 6 == document["letters"]
    assert {("payment", "ConnectionError"): 2, ("payment", "KeyError"): 1,
            ("shipping", "ConnectionError"): 2, ("shipping", "KeyError"): 1} == {
        (group["group"], group["error"]): group["letters"] for group in document["groups"]
    }  # fmt: skip


def test_the_list_is_a_table(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == cluster.run("list", "--topic", cluster.topic, "--error", "Key*")

    output = capsys.readouterr().out
    assert "2 dead letters" in output
    assert f"{cluster.of_payment}/0/2" in output


def test_each_dead_letter_is_listed_with_its_trace(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--each", "--limit", "2")

    lines = capsys.readouterr().out.splitlines()
    assert [f"{2:032x}", f"{4:032x}"] == [line.split()[-1] for line in lines]

    url = ("--trace-url", "https://traces.example/{trace_id}")
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--each", "--limit", "1", *url)

    (line,) = capsys.readouterr().out.splitlines()
    assert f"https://traces.example/{2:032x}" == line.split()[-1]


def test_a_dead_letter_is_shown_escaped_and_without_its_payload(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    dead_letter_id = f"{cluster.of_shipping}/0/1"
    url = "https://traces.example/{trace_id}"
    assert 0 == cluster.run("show", dead_letter_id, "--trace-url", url)
    without = capsys.readouterr().out
    assert 0 == cluster.run("show", dead_letter_id, "--payload")
    with_payload = capsys.readouterr().out

    assert f"https://traces.example/{3:032x}" in without
    assert "ConnectionError" in without
    assert "\x1b" not in without
    assert "secret" not in without
    assert "secret-2" in with_payload


def test_a_replay_is_handled_by_the_failed_group_alone_and_once(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("--topic", cluster.topic, "--group", "payment")
    assert 0 == cluster.run("replay", *chosen, "--dry-run")
    assert [] == asyncio.run(cluster.records())
    for _ in range(2):
        capsys.readouterr()
        assert 0 == cluster.run("replay", *chosen, "--yes", "--json")
        assert 3 == json.loads(capsys.readouterr().out)["replayed"]

    records = asyncio.run(cluster.records())
    assert 6 == len(records)
    assert {1} == {record.partition for record in records}
    assert {b"secret-1", b"secret-3", b"secret-5"} == {record.value for record in records}
    assert {"payment"} == {
        replay.group for record in records if (replay := Replay.from_headers(record.headers))
    }
    assert all(("mine", b"\xff") in record.headers for record in records)
    assert {Provenance.from_headers(record.headers) for record in records} == {None}
    # The same events twice: a consumer with an inbox applies each once.
    identities = [tracing.EventIdentity.of(record) for record in records]
    assert 3 == len(set(identities))
    assert [] == asyncio.run(handled(cluster, "shipping"))
    assert 6 == len(asyncio.run(handled(cluster, "payment")))


async def handled(cluster: Cluster, group: str) -> list[bytes]:
    """Return the values that a group handles in the source topic, up to a last record."""
    async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
        await producer.send_and_wait(cluster.topic, b"last", partition=1)
    values: list[bytes] = []
    stop = asyncio.Event()
    consumer = AIOKafkaConsumer(
        cluster.topic, bootstrap_servers=cluster.servers, auto_offset_reset="earliest",
        group_id=group, enable_auto_commit=False,
    )  # fmt: skip

    async def handler(record: Any) -> None:
        if record.value == b"last":
            stop.set()
        elif record.value != ORIGINAL:
            values.append(record.value)

    async with TracedConsumer(consumer, Telemetry("orders")) as traced:
        await asyncio.wait_for(tracing.consume(traced, handler, stop=stop), 30)
    return values


async def test_a_replay_is_a_new_trace_linked_to_the_failed_one(kafka_servers: str) -> None:
    cluster = Cluster(kafka_servers)
    await cluster.fill()
    connection = Connection(kafka_servers)
    with Capture("dlq") as capture:
        telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
        )
        result = await replay(connection, letters(connection, [cluster.of_payment]), telemetry)

        assert (3, 0) == (result.sent, result.failures)
        assert [f"replay {cluster.topic}"] * 3 == [span.name for span in capture.spans()]
        for span in capture.spans():
            assert span.parent is None
            assert 1 == len(span.links)
        linked = sorted(link.context.trace_id for span in capture.spans() for link in span.links)
        assert [2, 4, 6] == linked
        labels = {
            "messaging.destination.name": cluster.topic,
            "messaging.consumer.group.name": "payment",
        }
        assert 3 == capture.metric("pipeline.dead_letters.replayed", labels)
        contexts = [span.get_span_context() for span in capture.spans()]
        expected = {b"00-%032x-%016x" % (c.trace_id, c.span_id) for c in contexts if c}
        sent = [
            [value[:52] for name, value in record.headers if name == "traceparent"]
            for record in await cluster.records()
        ]
        assert expected == {value for (value,) in sent}


def test_dead_letters_are_purged_oldest_first(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = ("--topic", cluster.of_payment)
    before = ("--before", "2023-11-14T22:13:20.004")
    assert 0 == cluster.run("purge", *topic, *before, "--dry-run", "--json")
    assert 2 == json.loads(capsys.readouterr().out)["would_delete"]
    assert 0 == cluster.run("purge", *topic, *before, "--yes", "--json")
    assert {"deleted": 2, "kept": 1} == {
        name: value
        for name, value in json.loads(capsys.readouterr().out).items()
        if name in {"deleted", "kept"}
    }

    assert 0 == cluster.run("list", *topic, "--json")
    assert 1 == json.loads(capsys.readouterr().out)["letters"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "nonsense"], 2, "TOPIC/PARTITION/OFFSET"),
        (["show", "no-such.dlq/0/0"], 1, "there is no readable topic no-such.dlq"),
        (["list", "--topic", "no-such.dlq"], 2, "there is no topic no-such.dlq"),
        (["list", "--since", "soon"], 2, "such as 90s"),
        (["replay"], 2, "--yes"),
        (["purge", "--topic", "orders", "--all"], 2, "does not end in .dlq"),
        (["purge", "--topic", "orders.dlq"], 2, "--before AGE, --up-to ID, --all"),
    ],
)
def test_bad_usage_is_reported_in_one_line(
    kafka_servers: str,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert code == main(["dlq", *arguments, "--bootstrap-servers", kafka_servers])

    captured = capsys.readouterr()
    assert "" == captured.out
    assert 1 == len(captured.err.splitlines())
    assert message in captured.err


def test_a_cluster_that_does_not_answer_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert 1 == main(["dlq", "list", "--bootstrap-servers", "127.0.0.1:1"])

    assert "127.0.0.1:1: connection refused" in capsys.readouterr().err


def test_an_error_in_a_properties_file_does_not_print_its_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# ours\nsecurity.protocol=SASL_PLAINTEXT\nsasl.passwort=hunter2\n")

    code = main(
        ["dlq", "list", "--bootstrap-servers", "127.0.0.1:1", "--command-config", str(file)]
    )

    error = capsys.readouterr().err
    assert 2 == code
    assert "sasl.passwort is not supported" in error
    assert "hunter2" not in error


async def test_dead_letters_of_a_deleted_topic_fail_and_the_others_are_sent(
    kafka_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, other = Cluster(kafka_servers), Cluster(kafka_servers)
    deleted = other.topic
    await cluster.fill()
    await other.fill()
    asked: list[str] = []
    original: Any = AIOKafkaProducer.partitions_for

    async def partitions_for(self: AIOKafkaProducer, topic: str) -> set[int]:
        asked.append(topic)
        if topic == deleted:
            raise UnknownTopicOrPartitionError
        return set(await original(self, topic))

    monkeypatch.setattr(AIOKafkaProducer, "partitions_for", partitions_for)
    connection = Connection(kafka_servers)

    async def dead_letters() -> AsyncIterator[Letter]:
        async for dead_letter in letters(connection, [cluster.of_payment, other.of_shipping]):
            if deleted in dead_letter.id.topic or dead_letter.id.offset == 1:
                yield dead_letter

    result = await replay(connection, dead_letters(), Telemetry("orders"))

    assert (1, 3) == (result.sent, result.failures)
    assert {other.of_shipping} == {dead_letter_id.topic for dead_letter_id in result.failed}
    assert 1 == asked.count(deleted)


async def test_a_topic_that_cannot_be_purged_is_reported_in_one_line(
    kafka_servers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{Cluster(kafka_servers).topic}.payment.dlq"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_servers)
    await admin.start()
    try:
        compacted = NewTopic(name, 1, 1, topic_configs={"cleanup.policy": "compact"})
        await admin.create_topics([compacted])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
        await producer.send_and_wait(name, b"v", b"k")
    arguments = ["dlq", "purge", "--topic", name, "--all", "--yes"]

    assert 1 == await asyncio.to_thread(main, [*arguments, "--bootstrap-servers", kafka_servers])

    captured = capsys.readouterr()
    assert "" == captured.out
    assert 1 == len(captured.err.splitlines())
    assert "a topic that is only compacted cannot be purged" in captured.err


def test_a_purge_of_a_topic_that_does_not_exist_is_refused_and_creates_none(
    embedded_servers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Unlike the tests' Kafka, the embedded broker creates topics that clients ask for.
    topic = f"orders-{uuid4().hex[:8]}.payment.dlq"
    command = ["dlq", "purge", "--topic", topic, "--all", "--yes"]

    for _ in range(2):
        assert 2 == main([*command, "--bootstrap-servers", embedded_servers])
        captured = capsys.readouterr()
        assert "" == captured.out
        assert f"tracing: there is no topic {topic}; dead-letter topics: " in captured.err


@pytest.mark.parametrize("command", [["show"], ["edit", "--yes"]])
def test_a_dead_letter_in_a_topic_that_does_not_exist_creates_none(
    embedded_servers: str, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    topic = f"orders-{uuid4().hex[:8]}.payment.dlq"

    for _ in range(2):
        arguments = ["dlq", *command, f"{topic}/0/0", "--bootstrap-servers", embedded_servers]
        assert 1 == main(arguments)
        assert f"tracing: there is no readable topic {topic}\n" == capsys.readouterr().err
