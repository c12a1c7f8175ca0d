"""A dead letter remembers that it was replayed, whatever ends the replay."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.structs import TopicPartition

from tests.tracing.dlq.cluster import Cluster
from tracing import Replay, Telemetry
from tracing.delivery.dead_letter_names import REPLAY_TOPIC
from tracing.dlq import Connection, Purge, ReplayLog, letters, purge, replay, replaying
from tracing.dlq.claims import Claims
from tracing.lag import LagMonitor
from tracing.testing import Capture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tracing.dlq import Letter

pytestmark = pytest.mark.integration


@pytest.fixture(params=["embedded_servers", pytest.param("kafka_servers", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    cluster = Cluster(request.getfixturevalue(request.param))
    asyncio.run(cluster.fill())
    return cluster


def states(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what `list` says of each dead letter of the payment group."""
    capsys.readouterr()
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--each", "--json")
    return [each["replayed"] for each in json.loads(capsys.readouterr().out)]


def first(cluster: Cluster) -> str:
    return f"{cluster.of_payment}/0/0"


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))


def test_list_and_show_say_what_was_replayed(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ["no", "no", "no"] == states(cluster, capsys)
    assert 0 == cluster.run("replay", "--id", first(cluster))

    assert ["yes", "no", "no"] == states(cluster, capsys)
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--each")
    (replayed,) = [line for line in capsys.readouterr().out.splitlines() if "replayed at " in line]
    assert first(cluster) in replayed
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--json")
    document = json.loads(capsys.readouterr().out)
    assert (3, 1, 0) == tuple(
        document[name] for name in ("letters", "replayed", "perhaps_replayed")
    )
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--not-replayed", "--json")
    assert 2 == json.loads(capsys.readouterr().out)["letters"]
    assert 0 == cluster.run("show", first(cluster), "--json")
    shown = json.loads(capsys.readouterr().out)
    assert ("yes", 1, False) == (shown["replayed"], shown["replays"], shown["edited"])


def test_a_second_replay_without_a_terminal_sends_nothing_and_says_so(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("replay", "--topic", cluster.of_payment, "--group", "payment")
    assert 0 == cluster.run("replay", "--id", first(cluster))
    capsys.readouterr()

    assert 1 == cluster.run(*chosen)
    captured = capsys.readouterr()
    assert "" == captured.out
    assert 1 == len(captured.err.splitlines())
    assert "nothing was sent" in captured.err
    assert "1 replayed before (last at 20" in captured.err
    assert 1 == len(asyncio.run(cluster.records()))

    assert 0 == cluster.run(*chosen, "--not-replayed")
    assert 3 == len(asyncio.run(cluster.records()))
    assert 0 == cluster.run(*chosen, "--yes", "--json")
    document = json.loads(capsys.readouterr().out.partition("topic\n")[2])
    assert (3, 3) == (document["replayed"], document["replayed_before"])
    assert 6 == len(asyncio.run(cluster.records()))


def test_a_second_replay_asks_at_a_terminal(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 == cluster.run("replay", "--id", first(cluster))
    capsys.readouterr()

    at_a_terminal(monkeypatch, "n")
    assert 130 == cluster.run("replay", "--id", first(cluster))
    assert "1 replayed before" in capsys.readouterr().err
    assert 1 == len(asyncio.run(cluster.records()))
    at_a_terminal(monkeypatch, "y")
    assert 0 == cluster.run("replay", "--id", first(cluster))
    assert 2 == len(asyncio.run(cluster.records()))


KILLED = """
import os, signal, sys
from tracing.__main__ import main
from tracing.dlq import claims, replaying

async def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

{step} = kill
main(sys.argv[1:])
"""


@pytest.mark.parametrize(("step", "sent"), [("claims.Claims.sent", 3), ("replaying.send_raw", 0)])
def test_a_replay_that_is_killed_between_its_marks_says_perhaps(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], step: str, sent: int
) -> None:
    chosen = ("--topic", cluster.of_payment, "--group", "payment")

    async def killed() -> int | None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED.format(step=step), "dlq", "replay", *chosen,
            "--bootstrap-servers", cluster.servers,
        )  # fmt: skip
        return await process.wait()

    assert -9 == asyncio.run(killed())

    assert ["perhaps"] * 3 == states(cluster, capsys)
    assert sent == len(asyncio.run(cluster.records()))
    assert 1 == cluster.run("replay", *chosen, "--not-replayed")
    assert "3 perhaps replayed" in capsys.readouterr().err
    assert 1 == cluster.run("list", *chosen, "--fail-if-any", "--json")
    document = json.loads(capsys.readouterr().out)
    assert (0, 3) == (document["replayed"], document["perhaps_replayed"])


async def test_of_two_replays_at_once_one_sends(cluster: Cluster) -> None:
    connection = Connection(cluster.servers)

    async def one(log: ReplayLog) -> tuple[int, int]:
        result = await replay(
            connection, letters(connection, [cluster.of_payment]), Telemetry("orders"), log=log
        )
        return result.sent, result.failures

    async with ReplayLog(connection) as here, ReplayLog(connection) as there:
        results = await asyncio.gather(one(here), one(there))

    assert 3 == len(await cluster.records())
    assert (3, 3) == (sum(sent for sent, _ in results), sum(failed for _, failed in results))
    async with ReplayLog(connection) as later:
        states = [
            later.history.status(dead_letter)
            async for dead_letter in letters(connection, [cluster.of_payment])
        ]
    assert [("yes", 1)] * 3 == [(status.state, status.times) for status in states]


async def test_a_dead_letter_that_is_given_twice_does_not_end_the_replay(cluster: Cluster) -> None:
    connection = Connection(cluster.servers)

    async def twice() -> AsyncIterator[Letter]:
        async for dead_letter in letters(connection, [cluster.of_payment]):
            yield dead_letter
            yield dead_letter

    result = await replay(connection, twice(), Telemetry("orders"))

    assert (6, 0) == (result.sent, result.failures)
    assert 6 == len(await cluster.records())


async def test_an_edited_replay_is_marked_on_its_span_and_remembered(cluster: Cluster) -> None:
    connection = Connection(cluster.servers)

    async def edited() -> AsyncIterator[Letter]:
        async for dead_letter in letters(connection, [cluster.of_payment]):
            yield dead_letter.with_value(b"mended") if not dead_letter.id.offset else dead_letter

    with Capture("dlq") as capture:
        telemetry = Telemetry("orders", tracer_provider=capture.tracer_provider)
        await replay(connection, edited(), telemetry)

        spans = capture.spans()
    assert [True, None, None] == [
        (span.attributes or {}).get("pipeline.replay.edited") for span in spans
    ]
    (mended,) = [record for record in await cluster.records() if record.value == b"mended"]
    assert b"k1" == mended.key
    assert Replay(group="payment", id=f"{cluster.topic}/1/1") == Replay.from_headers(mended.headers)
    assert {("mine", b"\xff"), ("ce_id", b"e1")} <= set(mended.headers)
    async with ReplayLog(connection) as log:
        states = [
            log.history.status(dead_letter)
            async for dead_letter in letters(connection, [cluster.of_payment])
        ]
    assert [True, False, False] == [status.edited for status in states]


@pytest.mark.parametrize(
    ("error", "raised", "expected"),
    [
        (MessageSizeTooLargeError(), True, "no"),
        (KafkaTimeoutError(), True, "no"),
        (MessageSizeTooLargeError(), False, "no"),
        (KafkaTimeoutError(), False, "perhaps"),
    ],
)
def test_after_a_failed_send_it_depends_on_whether_the_broker_can_have_the_record(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: str,
    *,
    raised: bool,
) -> None:
    async def failing(*_: Any) -> asyncio.Future[Any]:
        if raised:
            raise error
        future = asyncio.get_running_loop().create_future()
        future.set_exception(error)
        return future

    monkeypatch.setattr(replaying, "send_raw", failing)
    assert 1 == cluster.run("replay", "--id", first(cluster))

    assert [expected, "no", "no"] == states(cluster, capsys)


def test_a_mark_that_cannot_be_written_after_the_send_is_reported(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Any = Claims._write

    async def failing(claims: Claims, dead_letter: Letter, *, sent: bool) -> Any:
        if sent:
            raise KafkaTimeoutError
        return await original(claims, dead_letter, sent=sent)

    monkeypatch.setattr(Claims, "_write", failing)
    assert 1 == cluster.run("replay", "--id", first(cluster), "--json")

    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (1, 1) == (document["replayed"], document["unrecorded"])
    assert "could not be recorded" in captured.err
    assert ["perhaps", "no", "no"] == states(cluster, capsys)


def test_a_replay_that_is_not_to_be_remembered_leaves_no_mark(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cluster.run("replay", "--id", first(cluster), "--no-remember")

    assert 1 == len(asyncio.run(cluster.records()))
    assert ["no", "no", "no"] == states(cluster, capsys)


async def test_marks_are_no_dead_letters(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == await asyncio.to_thread(cluster.run, "replay", "--id", first(cluster))
    async with LagMonitor(Connection(cluster.servers), topics=[cluster.of_payment]) as monitor:
        (sweep,) = [sweep async for sweep in _one(monitor)]

    assert [(cluster.of_payment, 3)] == [(each.topic, each.depth) for each in sweep.dead_letters]
    # Not even where dead-letter topics are named like the topic of the marks.
    capsys.readouterr()
    template = ("--dead-letter-topic", "{topic}_{group}", "--json")
    assert 0 == await asyncio.to_thread(cluster.run, "list", *template)
    assert [] == json.loads(capsys.readouterr().out)["without_provenance_ids"]


async def _one(monitor: LagMonitor) -> Any:
    async for sweep in monitor.sweeps():
        yield sweep
        return


@pytest.mark.parametrize("more", [["--group", "payment"], ["--error", "Key*"]])
def test_a_check_fails_while_a_selected_dead_letter_is_not_replayed(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    check = ("list", "--topic", cluster.of_payment, *more, "--fail-if-any")

    assert 1 == cluster.run(*check)
    assert "not known to have been replayed" in capsys.readouterr().err
    assert 1 == cluster.run(*check, "--json")
    captured = capsys.readouterr()
    assert "" == captured.err
    assert 0 == json.loads(captured.out)["replayed"]
    assert 1 == cluster.run(*check, "--each", "--json")
    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, *more)
    capsys.readouterr()
    assert 0 == cluster.run(*check, "--json")
    assert "" == capsys.readouterr().err
    assert 2 == cluster.run(*check, "--each", "--limit", "1")


class TestOnKafka:
    """What only Apache Kafka has: compaction, deletion of records."""

    pytestmark = pytest.mark.kafka

    @pytest.fixture
    def cluster(self, kafka_servers: str) -> Cluster:
        cluster = Cluster(kafka_servers)
        asyncio.run(cluster.fill())
        return cluster

    async def marked(self, cluster: Cluster) -> list[int]:
        """Return the offsets of the dead letters that have marks."""
        topics = [cluster.of_payment]
        async with ReplayLog(Connection(cluster.servers), dead_letter_topics=topics) as log:
            return [place.offset for place, _ in log.history]

    def test_a_purge_forgets_what_it_deletes(
        self, cluster: Cluster, capsys: pytest.CaptureFixture[str]
    ) -> None:
        chosen = ("--topic", cluster.of_payment, "--group", "payment")
        assert 0 == cluster.run("replay", *chosen)
        assert 0 == cluster.run("purge", "--up-to", f"{cluster.of_payment}/0/1", "--yes")

        assert [2] == asyncio.run(self.marked(cluster))
        assert ["yes"] == states(cluster, capsys)

    async def test_a_replay_forgets_what_retention_has_deleted(self, cluster: Cluster) -> None:
        first, last = f"{cluster.of_payment}/0/0", f"{cluster.of_payment}/0/2"
        assert 0 == await asyncio.to_thread(cluster.run, "replay", "--id", first)
        assert [0] == await self.marked(cluster)
        plan = Purge(before={TopicPartition(cluster.of_payment, 0): 1})
        await purge(Connection(cluster.servers), plan)
        assert 0 == await asyncio.to_thread(cluster.run, "replay", "--id", last)

        assert [2] == await self.marked(cluster)

    async def test_the_topic_of_the_marks_is_compacted(self, cluster: Cluster) -> None:
        assert 0 == await asyncio.to_thread(cluster.run, "replay", "--id", first(cluster))
        admin = AIOKafkaAdminClient(bootstrap_servers=cluster.servers)
        await admin.start()
        try:
            resource = ConfigResource(ConfigResourceType.TOPIC, REPLAY_TOPIC)
            answers: list[Any] = await admin.describe_configs([resource])
        finally:
            await admin.close()
        ((_, _, _, _, configs),) = answers[0].resources
        assert ["compact"] == [value for name, value, *_ in configs if name == "cleanup.policy"]
