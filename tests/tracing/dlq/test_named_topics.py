"""Topics that the user names: a mistyped one is reported, and a purge is suggested as a whole."""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from demo_pipeline.broker import create_topics
from tests.tracing.dlq import other_systems
from tests.tracing.dlq.cluster import ORIGINAL
from tracing.__main__ import main

if TYPE_CHECKING:
    from tracing.headers.codec import Header

pytestmark = pytest.mark.integration


class Named:
    """A cluster with dead letters of Spring, whose topics can hold those of any topic."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self.topic = f"orders-{uuid4().hex[:8]}"
        self.gone = f"{self.topic}-gone"
        self.hidden = f"{self.topic}-hidden"
        self.idle = f"{self.topic}-idle"
        self.healthy = f"{self.topic}-healthy"
        self.empty = f"{self.healthy}.payment.dlq"
        self.spring = f"{self.topic}-dlt"
        self.parked = f"{self.topic}-parked"

    async def fill(self) -> None:
        topics = (
            self.topic, self.idle, self.healthy, self.empty, f"{self.hidden}.payment.dlq",
            self.spring, self.parked,
        )  # fmt: skip
        await create_topics(self.servers, dict.fromkeys(topics, 1))
        dead_letters: list[tuple[str, list[Header]]] = [
            (self.spring, other_systems.spring(self.topic, 0, 0)),
            # Its topic was deleted since.
            (self.spring, other_systems.spring(self.gone, 0, 0)),
            (self.parked, other_systems.MINE),
        ]
        async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
            await producer.send_and_wait(self.topic, ORIGINAL)
            for topic, headers in dead_letters:
                await producer.send_and_wait(topic, b"v", headers=headers)

    def run(self, *arguments: str) -> int:
        return main(["dlq", *arguments, "--bootstrap-servers", self.servers])


@pytest.fixture
def named(embedded_servers: str) -> Named:
    named = Named(embedded_servers)
    asyncio.run(named.fill())
    return named


@pytest.mark.parametrize("form", [(), ("--each",), ("--json",), ("--each", "--json")])
@pytest.mark.parametrize("check", [(), ("--fail-if-any",)])
def test_a_topic_that_does_not_exist_is_reported(
    named: Named,
    capsys: pytest.CaptureFixture[str],
    form: tuple[str, ...],
    check: tuple[str, ...],
) -> None:
    # The names of dead-letter topics have it in them.
    mistyped = named.topic[:-1]

    assert 2 == named.run("list", "--topic", mistyped, *form, *check)

    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert f"there is no topic {mistyped}, and no dead letter came from it" in line
    assert named.spring in line
    if "--json" in form:
        assert not (json.loads(captured.out) or {"letters": 0})["letters"]


def test_a_replay_of_a_topic_that_does_not_exist_is_refused(
    named: Named, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == named.run("replay", "--topic", "ordesr", "--yes")

    captured = capsys.readouterr()
    assert "" == captured.out
    assert "there is no topic ordesr, and no dead letter came from it" in captured.err


def test_a_topic_without_a_dead_letter_topic_is_named_and_is_no_error(
    named: Named, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = [
        argument
        for topic in (named.idle, named.healthy, named.hidden, named.topic)
        for argument in ("--topic", topic)
    ]

    assert 0 == named.run("list", *topics, "--json")

    captured = capsys.readouterr()
    assert 1 == json.loads(captured.out)["letters"]
    (line,) = captured.err.splitlines()
    assert line.startswith(f"{named.idle} has no dead-letter topic, and no dead letter came from")


# Then no dead-letter topic is one of another system, which could hold those of any topic.
OURS = ("--suffix", ".payment.dlq")


def test_where_no_dead_letter_can_be_a_topic_that_does_not_exist_is_refused_at_once(
    named: Named, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("list", "replay"):
        assert 2 == named.run(command, "--topic", "ordesr", *OURS)
        captured = capsys.readouterr()
        assert "" == captured.out
        assert captured.err.startswith("tracing: there is no topic ordesr; dead-letter topics: ")


def test_a_topic_that_has_no_dead_letter_topic_yet_is_no_error_either(
    named: Named, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("list", "--fail-if-any"), ("replay",)):
        assert 0 == named.run(*command, "--topic", named.idle, *OURS)
        assert f"{named.idle} has no dead-letter topic" in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--group", "absent"), ("--error", "none", "--each")])
def test_a_deleted_topic_with_dead_letters_is_no_mistake(
    named: Named, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    assert 0 == named.run("list", "--topic", named.gone, *more)

    assert "" == capsys.readouterr().err


def test_after_a_limit_nothing_is_said_about_what_was_not_read(
    named: Named, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = ("--topic", named.spring, "--topic", named.gone)

    assert 0 == named.run("list", *topics, "--each", "--limit", "1")

    assert "" == capsys.readouterr().err


def test_a_named_topic_of_replays_that_does_not_exist_is_reported(
    named: Named, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = f"{named.topic}.replays"
    elsewhere = ("--replay-topic", topic)
    missing = f"there is no topic {topic}, so no replay is remembered in it\n"

    for command in (
        ("list", "--topic", named.spring, "--json"),
        ("show", f"{named.spring}/0/0", "--json"),
        ("replay", "--id", f"{named.spring}/0/0", "--yes", "--json"),
    ):
        assert 0 == named.run(*command, *elsewhere)
        captured = capsys.readouterr()
        assert missing == captured.err
        assert json.loads(captured.out)
    # The replay has created it.
    assert 0 == named.run("list", "--topic", named.spring, *elsewhere)
    assert "" == capsys.readouterr().err


def test_the_purge_that_is_suggested_after_a_replay_knows_the_same_topics(
    named: Named, capsys: pytest.CaptureFixture[str]
) -> None:
    described = ("--dead-letter-pattern", f"(?P<topic>{named.topic})-parked")
    chosen = ("--topic", named.parked, "--replay-topic", f"{named.topic}.replays")

    assert 0 == named.run("replay", *chosen, *described, "--yes")

    suggested = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert ["python", "-m", "tracing", "dlq", "purge"] == suggested[:5]
    assert 0 == named.run(*suggested[4:], "--dry-run", "--json")
    assert 1 == json.loads(capsys.readouterr().out)["would_delete"]
    assert {*described, *chosen[2:]} <= {*suggested}
