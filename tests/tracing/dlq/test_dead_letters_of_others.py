"""Dead letters of other systems: listed, shown, replayed, purged and counted like our own."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

import tracing
from demo_pipeline.broker import create_topics
from tests.tracing.dlq import other_systems
from tests.tracing.dlq.cluster import ORIGINAL, Cluster
from tracing import Provenance, Replay, Telemetry, TracedConsumer
from tracing.__main__ import main
from tracing.dlq import (
    Connection,
    DeadLetterFormats,
    Letter,
    Replayed,
    dead_letter_topics,
    letters,
)
from tracing.dlq import replay as replay_dead_letters
from tracing.lag import LagMonitor
from tracing.testing import Capture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tracing.headers.codec import Header

pytestmark = pytest.mark.integration

_FAILED = 7
"""The offset of the record that all dead letters came from."""


class Others:
    """A topic whose records are dead letters of every system, each in a topic of its own."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        name = uuid4().hex[:8]
        self.topic = f"orders-{name}"
        self.streams = f"streams-errors-{name}"
        self.connect = f"sink-errors-{name}"
        self.share = f"dlq.workers-{name}"
        self.spring = f"{self.topic}-dlt"
        self.spring_old = f"{self.topic}.DLT"
        self.own = f"parked-{name}"
        self.patterns = (
            "--dead-letter-pattern", f"(streams|sink)-errors-{name}",
            "--dead-letter-pattern", self.own,
            "--origin-header", "topic=x-topic",
            "--origin-header", "partition=x-partition",
            "--origin-header", "offset=x-offset",
            "--origin-header", "error=x-error",
        )  # fmt: skip
        self.formats = DeadLetterFormats(
            [f"(streams|sink)-errors-{name}", self.own],
            {"topic": "x-topic", "partition": "x-partition", "offset": "x-offset"},
        )

    def headers(self) -> dict[str, list[Header]]:
        """Return the headers of one dead letter, by its topic."""
        return {
            self.streams: other_systems.streams(self.topic),
            self.connect: other_systems.connect(self.topic),
            self.share: other_systems.share_group(self.topic),
            self.spring: other_systems.spring(self.topic),
            self.spring_old: other_systems.spring_retry_topics(self.topic),
            self.own: [
                *other_systems.MINE,
                ("x-topic", self.topic.encode()),
                ("x-partition", b"1"),
                ("x-offset", b"7"),
                ("x-error", b"ValueError"),
            ],
        }

    async def fill(self) -> None:
        dead_letters = self.headers()
        await create_topics(self.servers, {self.topic: 2, **dict.fromkeys(dead_letters, 1)})
        async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
            for _ in range(7):
                await producer.send_and_wait(self.topic, ORIGINAL, partition=1)
            # The record that failed everywhere; a share group's replay is the record itself.
            await producer.send_and_wait(
                self.topic, self.share.encode(), b"key", partition=1, headers=other_systems.MINE
            )
            for topic, headers in dead_letters.items():
                await producer.send_and_wait(
                    topic, topic.encode(), b"key", headers=headers, partition=0
                )

    def run(self, *arguments: str) -> int:
        return main(["dlq", *arguments, "--bootstrap-servers", self.servers])

    async def records(self) -> list[Any]:
        """Return the records of the source topic that were replayed."""
        return [record for record in await self.all_records() if record.offset > _FAILED]

    async def all_records(self) -> list[Any]:
        cluster = Cluster(self.servers)
        cluster.topic = self.topic
        return await cluster.records()


@pytest.fixture(params=["embedded_servers", pytest.param("kafka_servers", marks=pytest.mark.kafka)])
def others(request: pytest.FixtureRequest) -> Others:
    others = Others(request.getfixturevalue(request.param))
    asyncio.run(others.fill())
    return others


def test_they_are_listed_by_topic_group_and_error(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == others.run("list", "--topic", others.topic, *others.patterns, "--json")

    document = json.loads(capsys.readouterr().out)
    error = "java.lang.IllegalStateException"
    assert {
        others.streams: ("", error),
        others.connect: ("connect-orders-sink", "org.apache.kafka.common.DataException"),
        others.share: ("workers", ""),
        others.spring: ("billing", error),
        others.spring_old: ("billing", error),
        others.own: ("", "ValueError"),
    } == {each["dead_letter_topic"]: (each["group"], each["error"]) for each in document["groups"]}
    assert {others.topic} == {each["topic"] for each in document["groups"]}
    assert "unknown" not in {each["oldest"] for each in document["groups"]}
    assert {"kafka-streams", "kafka-connect", "share-group", "spring-kafka", "own"} == {
        each["written_by"] for each in document["groups"]
    }


def test_topics_with_the_names_of_share_groups_and_spring_are_found_without_options(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == others.run("list", "--topic", others.topic, "--json")

    groups = json.loads(capsys.readouterr().out)["groups"]
    found = {others.share, others.spring, others.spring_old}
    assert found == {each["dead_letter_topic"] for each in groups}
    assert found <= set(asyncio.run(dead_letter_topics(Connection(others.servers))))
    assert 0 == others.run("list", "--topic", others.topic, "--group", "workers", "--since", "1h")
    output = capsys.readouterr().out
    assert "1 dead letter\n" in output
    assert "share-group" in output


def test_the_options_can_be_set_in_the_environment(
    others: Others, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "PIPELINE_TRACING_DEAD_LETTER_PATTERN", f"{others.streams} {others.connect} {others.own}"
    )
    monkeypatch.setenv("PIPELINE_TRACING_ORIGIN_HEADER", "topic=x-topic offset=x-offset")

    assert 0 == others.run("list", "--topic", others.topic, "--json")

    groups = json.loads(capsys.readouterr().out)["groups"]
    assert others.headers().keys() == {each["dead_letter_topic"] for each in groups}


def test_a_suffix_or_a_pattern_says_alone_which_topics_hold_dead_letters(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    suffix = ("--suffix", ".DLT", "--dead-letter-pattern", others.connect)
    assert 0 == others.run("list", "--topic", others.topic, *suffix, "--json")

    groups = json.loads(capsys.readouterr().out)["groups"]
    assert {others.spring_old, others.connect} == {each["dead_letter_topic"] for each in groups}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--dead-letter-pattern", "("), "is not a regular expression"),
        (("--dead-letter-pattern", "(?P<cluster>.+)"), "(?P<topic>...) and (?P<group>...) alone"),
        (("--origin-header", "x-topic"), "is not FIELD=HEADER"),
        (("--origin-header", "host=x-host"), "topic, partition, offset"),
    ],
)
def test_a_wrong_description_is_reported_in_one_line(
    option: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("dlq list", "dlq replay", "dlq show x/0/0", "lag"):
        code = main([*command.split(), *option, "--bootstrap-servers", "127.0.0.1:1"])
        captured = capsys.readouterr()
        assert (2, "", 1) == (code, captured.out, len(captured.err.splitlines()))
        assert message in captured.err


def test_what_its_writer_says_is_shown_and_the_stack_trace_only_on_demand(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"{others.connect}/0/0"
    assert 0 == others.run("show", place, "--json")
    shown = capsys.readouterr().out
    assert 0 == others.run("show", place, "--stacktrace", "--json")
    with_stacktrace = capsys.readouterr().out

    document = json.loads(shown)
    assert {
        "topic": others.topic, "partition": 1, "offset": 7, "written_by": "kafka-connect",
        "connector": "orders-sink", "task": "0", "stage": "VALUE_CONVERTER", "message": "not JSON",
    }.items() <= document.items()  # fmt: skip
    assert "card 4711" not in shown
    assert "card 4711" in json.loads(with_stacktrace)["stacktrace"]


def test_what_is_no_dead_letter_is_not_shown(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == others.run("show", f"{others.topic}/1/0")
    captured = capsys.readouterr()
    assert "" == captured.out
    assert 1 == len(captured.err.splitlines())
    assert f"{others.topic}/1/0 is no dead letter" in captured.err
    assert "--origin-header topic=HEADER" in captured.err

    assert 1 == others.run("show", f"{others.own}/0/0")
    capsys.readouterr()
    assert 0 == others.run("show", f"{others.own}/0/0", *others.patterns)
    assert "ValueError" in capsys.readouterr().out


def test_they_go_back_to_their_topic_with_the_headers_of_the_record(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("replay", "--topic", others.topic, *others.patterns)
    assert 0 == others.run(*arguments, "--yes", "--json")

    document = json.loads(capsys.readouterr().out)
    assert (6, 6, 2) == (
        document["replayed"], document["of_other_systems"], document["for_all_groups"]
    )  # fmt: skip
    records = {record.value.decode(): record for record in asyncio.run(others.records())}
    assert others.headers().keys() == records.keys()
    assert {(1, b"key")} == {(record.partition, record.key) for record in records.values()}
    marks = {topic: Replay.from_headers(record.headers) for topic, record in records.items()}
    place = f"{others.topic}/1/7"
    assert {
        others.streams: None,
        others.own: None,
        others.connect: Replay(group="connect-orders-sink", id=place),
        others.share: Replay(group="workers", id=place),
        others.spring: Replay(group="billing", id=place),
        others.spring_old: Replay(group="billing", id=place),
    } == marks
    for record in records.values():
        kept = [pair for pair in record.headers if not pair[0].startswith("__pipeline.replay.")]
        assert other_systems.MINE[:2] == [pair for pair in kept if pair[0] != "traceparent"]


def test_our_other_groups_skip_a_replay_whose_group_is_known(others: Others) -> None:
    arguments = ("replay", "--id", f"{others.spring}/0/0", "--id", f"{others.connect}/0/0")
    assert 0 == others.run(*arguments, "--topic", others.topic, *others.patterns, "--yes")

    assert [] == asyncio.run(_handled(others, "shipping"))
    assert [others.spring.encode()] == asyncio.run(_handled(others, "billing"))


async def _handled(others: Others, group: str) -> list[bytes]:
    async with AIOKafkaProducer(bootstrap_servers=others.servers) as producer:
        await producer.send_and_wait(others.topic, b"last", partition=1)
    values: list[bytes] = []
    stop = asyncio.Event()
    consumer = AIOKafkaConsumer(
        others.topic, bootstrap_servers=others.servers, auto_offset_reset="earliest",
        group_id=f"{group}", enable_auto_commit=False,
    )  # fmt: skip

    async def handler(record: Any) -> None:
        if record.value == b"last":
            stop.set()
        elif record.offset > _FAILED:
            values.append(record.value)

    async with TracedConsumer(consumer, Telemetry("orders")) as traced:
        await asyncio.wait_for(tracing.consume(traced, handler, stop=stop), 30)
    return values


@pytest.mark.parametrize("answer", [True, False])
def test_a_replay_that_foreign_consumers_cannot_skip_asks_once(
    others: Others,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    answer: bool,
) -> None:
    questions: list[str] = []

    def ask(question: str, **_: Any) -> bool:
        questions.append(question)
        if not answer:
            raise click.Abort
        return True

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(click, "confirm", ask)
    arguments = ("replay", "--topic", others.topic, "--group", "billing", "--json")

    assert (0 if answer else 130) == others.run(*arguments)

    (question,) = questions
    assert "spring-kafka" in question
    assert others.topic in question
    assert (2 if answer else 0) == len(asyncio.run(others.records()))


def test_without_a_terminal_it_needs_yes_and_a_dry_run_does_not(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("replay", "--id", f"{others.spring}/0/0")

    assert 2 == others.run(*arguments)
    assert "add --yes to replay dead letters of other systems" in capsys.readouterr().err
    assert 0 == others.run(*arguments, "--dry-run")
    assert [] == asyncio.run(others.records())


def test_headers_alone_do_not_choose_the_topic_of_a_replay(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("replay", "--topic", others.connect, *others.patterns, "--yes", "--json")
    assert 1 == others.run(*arguments)

    (refusal,) = json.loads(capsys.readouterr().out)["refusals"].values()
    assert f"add --topic {others.topic}" in refusal
    assert 0 == others.run(*arguments, "--topic", others.topic, "--group", "connect-orders-sink")
    assert [others.connect.encode()] == [each.value for each in asyncio.run(others.records())]


@pytest.fixture(params=["embedded_servers", pytest.param("kafka_servers", marks=pytest.mark.kafka)])
def shared(request: pytest.FixtureRequest) -> Others:
    """Return a topic of two records: a share group gave up both, and copied neither."""
    others = Others(request.getfixturevalue(request.param))

    async def fill() -> None:
        await create_topics(others.servers, {others.topic: 1, others.share: 1})
        async with AIOKafkaProducer(bootstrap_servers=others.servers) as producer:
            for number in range(2):
                value = b"original %d" % number
                await producer.send_and_wait(
                    others.topic, value, b"k%d" % number, headers=other_systems.MINE
                )
                headers = other_systems.share_group(others.topic, 0, number)
                await producer.send_and_wait(others.share, key=None, value=b"", headers=headers)

    asyncio.run(fill())
    return others


async def _replay_without_copies(others: Others) -> Replayed:
    """Replay as if the share group's dead letters had neither key nor value."""
    connection = Connection(others.servers)

    async def without_copies() -> AsyncIterator[Letter]:
        async for dead_letter in letters(connection, [others.share]):
            record = replace(dead_letter.record, key=None, value=None)
            yield replace(dead_letter, record=record)

    return await replay_dead_letters(
        connection, without_copies(), Telemetry("orders"), source_topics=[others.topic]
    )


def test_a_share_group_that_copies_no_records_gets_them_from_their_topic(shared: Others) -> None:
    result = asyncio.run(_replay_without_copies(shared))

    assert (2, 0, {}) == (result.sent, result.unaddressed, result.failed)
    records = asyncio.run(shared.all_records())
    assert [(b"k0", b"original 0"), (b"k1", b"original 1")] * 2 == [
        (record.key, record.value) for record in records
    ]
    for record in records[2:]:
        assert Replay.from_headers(record.headers) is not None
        assert other_systems.MINE == [
            pair for pair in record.headers if not pair[0].startswith("__pipeline.replay.")
        ]


@pytest.mark.kafka
async def test_a_record_that_its_topic_no_longer_holds_is_not_replayed_without_a_copy(
    kafka_servers: str,
) -> None:
    others = Others(kafka_servers)
    await create_topics(kafka_servers, {others.topic: 1, others.share: 1})
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
        for number in range(2):
            await producer.send_and_wait(others.topic, b"original %d" % number)
            headers = other_systems.share_group(others.topic, 0, number)
            await producer.send_and_wait(others.share, b"copy", headers=headers)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_servers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(others.topic, 0): RecordsToDelete(1)})
    finally:
        await admin.close()

    result = await _replay_without_copies(others)

    assert (1, 1) == (result.sent, result.failures)
    (why,) = result.failed.values()
    assert "no longer holds the record 0" in why
    assert "errors.deadletterqueue.copy.record.enable" in why

    # With a copy, it goes back without its headers.
    connection = Connection(kafka_servers)
    result = await replay_dead_letters(
        connection, letters(connection, [others.share]), Telemetry("orders"),
        source_topics=[others.topic],
    )  # fmt: skip
    assert (2, 0) == (result.sent, result.failures)
    async with AIOKafkaConsumer(
        others.topic, bootstrap_servers=kafka_servers, auto_offset_reset="earliest"
    ) as consumer:
        sent = [(await consumer.getone()).value for _ in range(4)]
    assert [b"original 1", b"original 1", b"copy", b"original 1"] == sent


@pytest.mark.kafka
async def test_the_replay_is_traced_and_counted_without_a_group_where_none_is_known(
    kafka_servers: str,
) -> None:
    others = Others(kafka_servers)
    await others.fill()
    connection = Connection(kafka_servers)
    with Capture("dlq") as capture:
        telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
        )
        dead_letters = letters(connection, [others.streams], formats=others.formats)
        result = await replay_dead_letters(
            connection, dead_letters, telemetry, source_topics=[others.topic],
            formats=others.formats,
        )  # fmt: skip

        assert (1, 1, 1) == (result.sent, result.unaddressed, result.of_other_systems)
        (span,) = capture.spans()
        assert f"replay {others.topic}" == span.name
        assert (span.attributes or {})["kafka.cluster.id"]
        labels = {"messaging.destination.name": others.topic}
        assert 1 == capture.metric("pipeline.dead_letters.replayed", labels)


@pytest.mark.kafka
async def test_without_a_partition_the_key_chooses_one(kafka_servers: str) -> None:
    others = Others(kafka_servers)
    failed = f"{others.topic}-failed"
    formats = DeadLetterFormats(["(?P<topic>.+)-failed"])
    await create_topics(kafka_servers, {others.topic: 2, failed: 1})
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
        expected = await producer.send_and_wait(others.topic, ORIGINAL, b"key")
        await producer.send_and_wait(failed, b"v", b"key", headers=[("mine", b"1")])
    connection = Connection(kafka_servers)

    result = await replay_dead_letters(
        connection, letters(connection, [failed], formats=formats), Telemetry("orders"),
        formats=formats,
    )  # fmt: skip

    assert (1, 0) == (result.sent, result.failures)
    (record,) = await others.all_records()
    assert (expected.partition, [("mine", b"1")]) == (
        record.partition,
        [pair for pair in record.headers if pair[0] != "traceparent"],
    )


def test_they_are_purged_by_the_name_of_their_topic(
    others: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    purge = ("purge", "--topic", others.connect, "--all", "--dry-run", "--json")
    assert 2 == others.run(*purge)
    capsys.readouterr()
    assert 0 == others.run(*purge, *others.patterns)
    assert {"would_delete": 1, "without_provenance": 0}.items() <= json.loads(
        capsys.readouterr().out
    ).items()


@pytest.mark.kafka
async def test_they_are_counted_and_aged(kafka_servers: str) -> None:
    others = Others(kafka_servers)
    await others.fill()
    topics = others.headers().keys()
    async with LagMonitor(
        Connection(kafka_servers), topics=topics, formats=others.formats
    ) as monitor:
        sweep = await monitor.sweep()

    assert {
        others.streams: (others.topic, None, 1),
        others.connect: (others.topic, "connect-orders-sink", 1),
        others.share: (others.topic, "workers", 1),
        others.spring: (others.topic, "billing", 1),
        others.spring_old: (others.topic, "billing", 1),
        others.own: (others.topic, None, 1),
    } == {each.topic: (each.destination, each.group, each.depth) for each in sweep.dead_letters}
    assert all(0 < (each.oldest_s or 0) < 60 for each in sweep.dead_letters)


@pytest.mark.kafka
async def test_the_lag_command_counts_topics_that_its_options_name(
    kafka_servers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    others = Others(kafka_servers)
    await others.fill()
    arguments = ["lag", "--bootstrap-servers", kafka_servers, "--topic", others.connect, "--json"]

    assert 1 == await asyncio.to_thread(main, arguments)
    capsys.readouterr()
    assert 0 == await asyncio.to_thread(main, [*arguments, *others.patterns])

    (depth,) = json.loads(capsys.readouterr().out)["dead_letters"]
    assert (others.topic, "connect-orders-sink", 1) == (
        depth["destination"], depth["group"], depth["depth"]
    )  # fmt: skip


def test_a_dead_letter_of_ours_about_one_of_theirs_goes_back_to_their_topic() -> None:
    theirs = other_systems.spring("orders")
    ours = Provenance(
        topic="orders-dlt", partition=0, offset=3, timestamp_ms=1, group="mend", exception="E",
        message="", attempts=1, first_failed_at_ms=1, failed_at_ms=1,
    )  # fmt: skip
    formats = DeadLetterFormats()

    provenance = formats.provenance(
        [*theirs, *ours.headers()], topic="orders-dlt.mend.dlq", timestamp_ms=1
    )

    assert ours == provenance
