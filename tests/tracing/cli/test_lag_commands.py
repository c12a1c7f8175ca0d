"""The lag command on Apache Kafka: tables, JSON, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from asyncio import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.lag.scene import Scene
from tracing.__main__ import main
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
def scene(kafka_servers: str) -> Scene:
    scene = Scene(kafka_servers)

    async def fill() -> None:
        await scene.create(2)
        await scene.produce(*[int((time() - 60) * 1000)] * 3)
        await scene.commit({0: 1, 1: 0})

    asyncio.run(fill())
    return scene


def arguments(scene: Scene, *more: str) -> list[str]:
    return [
        "lag", "--bootstrap-servers", scene.servers, "--group", scene.group,
        "--topic", scene.topic, *more,
    ]  # fmt: skip


def test_json_is_one_document(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(arguments(scene, "--json"))

    document = json.loads(capsys.readouterr().out)
    lag_s = document["groups"][0]["lag_s"]
    assert lag_s == pytest.approx(60, abs=10)
    topic_id = document["groups"][0]["partitions"][0]["topic_id"]
    assert 22 == len(topic_id)
    shared = {
        "topic": scene.topic, "topic_id": topic_id, "exact": True, "assigned": False, "lost": 0,
        "retention": None, "velocity": None, "inflow_share": None,
            "catch_up": None,
    }  # fmt: skip
    assert {
        "group": scene.group,
        "state": "Empty",
        "members": 0,
        "status": None,
        "lag": 2,
        "lag_s": lag_s,
        "cause": "no_members",
        "replaced_by": None,
        "partitions": [
            {**shared, "partition": 0, "committed": 1, "end": 3, "lag": 2, "lag_s": lag_s,
             "status": None, "cause": "no_members"},
            {**shared, "partition": 1, "committed": 0, "end": 0, "lag": 0, "lag_s": 0.0,
             "status": "ok", "cause": None},
        ],
    } == document["groups"][0]  # fmt: skip
    assert {
        "at", "took_s", "groups", "dead_letters", "cluster", "commands", "missing_rights",
        "unanswered", "unknown_retention", "silent",
    } == set(document)  # fmt: skip


def test_the_table_has_a_line_for_each_topic(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(arguments(scene, "--for", "0"))

    heading, _, row, unmeasured, committed = capsys.readouterr().out.splitlines()
    assert "lag oldest waits status cause group members topic partition" == " ".join(
        heading.split()
    )
    assert f"2 ? no members {scene.group} 0 {scene.topic} 1 behind, 2 committed" == " ".join(
        word for word in row.split() if not word.startswith("6") and word != "s"
    )
    assert "--watch" in unmeasured
    assert committed.startswith("committed: ")


async def test_an_abandoned_topic_is_shown_and_explained(
    kafka_servers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, left = Scene(kafka_servers), Scene(kafka_servers)
    for each in (scene, left):
        await each.create()
        await each.commit({0: 0}, scene.group)
    await left.produce(None)
    command = ["lag", "--bootstrap-servers", scene.servers, "--group", scene.group]
    async with scene.member() as member:
        await eventually(lambda: bool(member.assignment()))

        async def listed() -> list[str]:
            # On a busy machine the group may rebalance at first.
            assert 0 == await asyncio.to_thread(main, [*command, "--each", "--for", "0"])
            lines = capsys.readouterr().out.splitlines()
            return lines if any("--delete-offsets" in line for line in lines) else []

        lines = await eventually(listed, timeout_s=60)
        assert 0 == await asyncio.to_thread(main, [*command, "--json"])
        (group,) = json.loads(capsys.readouterr().out)["groups"]
        assert 0 == await asyncio.to_thread(
            main, [*command, "--exclude-topic", left.topic, "--for", "0"]
        )
        without = capsys.readouterr().out

    # The cluster may have dead-letter topics of other tests, which have a table of their own.
    rows = [line.split() for line in lines if scene.topic in line or left.topic in line]
    statuses = [word for row in rows for word in row if word in {"abandoned", "ok", "dead", "?"}]
    assert {"abandoned", "ok"} == set(statuses)
    assert ("ok", 0, 0.0) == (group["status"], group["lag"], group["lag_s"])
    assert {(left.topic, "abandoned", 1), (scene.topic, "ok", 0)} == {
        (part["topic"], part["status"], part["lag"]) for part in group["partitions"]
    }
    assert left.topic not in without


def test_after_a_few_seconds_the_table_has_a_status(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(arguments(scene, "--for", "2"))

    output = capsys.readouterr().out
    assert "dead" in output.splitlines()[2]
    assert "?" not in output


def test_with_each_the_table_has_a_line_for_each_partition_and_marks_estimates(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(arguments(scene, "--each", "--no-read", "--for", "0"))

    lines = capsys.readouterr().out.splitlines()
    assert [["2", "?", "?"], ["0", "0.0", "s"]] == [line.split()[:3] for line in lines[2:4]]
    assert lines[-1].startswith("~: estimated")


async def test_watch_measures_again_and_stops_at_ctrl_c(kafka_servers: str) -> None:
    scene = Scene(kafka_servers)
    await scene.create()
    await scene.produce(None)
    await scene.commit({0: 0})
    process = await subprocess.create_subprocess_exec(
        sys.executable, "-m", "tracing", *arguments(scene, "--watch", "0.3", "--window", "1"),
        "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    documents = [json.loads(await process.stdout.readline()) for _ in range(6)]
    process.send_signal(signal.SIGINT)
    _, error = await process.communicate()

    assert 130 == process.returncode
    assert b"tracing: stopped" == error.strip()
    statuses = [document["groups"][0]["status"] for document in documents]
    assert (None, "dead") == (statuses[0], statuses[-1])


class Receiver(BaseHTTPRequestHandler):
    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    bodies: list[bytes] = []
    server = HTTPServer(("127.0.0.1", 0), type("Mine", (Receiver,), {"bodies": bodies}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("named", "name"), [("", b"pipeline-lag-monitor"), ("our-monitor", b"our-monitor")]
)
async def test_the_daemon_exports_until_sigterm(
    kafka_servers: str, collector: tuple[str, list[bytes]], named: str, name: bytes
) -> None:
    scene = Scene(kafka_servers)
    await scene.create()
    await scene.produce(None)
    await scene.commit({0: 0})
    await scene.commit({0: 0}, f"{scene.name}-console-1")
    url, bodies = collector
    process = await subprocess.create_subprocess_exec(
        sys.executable, "-m", "tracing", "lag", "--bootstrap-servers", scene.servers,
        "--topic", scene.topic, "--exclude-group", ".*-console-.*", "--daemon", "--watch", "0.3",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url,
             "OTEL_METRIC_EXPORT_INTERVAL": "200", "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
             "OTEL_SERVICE_NAME": named},
    )  # fmt: skip
    await eventually(
        lambda: any(
            b"pipeline.consumer.lag.time" in body and scene.topic.encode() in body
            for body in bodies
        ),
        timeout_s=30,
    )
    process.send_signal(signal.SIGTERM)
    output, error = await process.communicate()

    assert (0, b"", b"") == (process.returncode, output, error)
    assert any(name in body for body in bodies)
    assert any(scene.group.encode() in body for body in bodies)
    assert not any(b"-console-1" in body for body in bodies)


async def test_a_daemon_that_cannot_start_says_why_and_ends() -> None:
    process = await subprocess.create_subprocess_exec(
        sys.executable, "-m", "tracing", "lag", "--daemon", "--bootstrap-servers", "127.0.0.1:1",
        stderr=subprocess.PIPE, env={**os.environ, "OTEL_METRICS_EXPORTER": "none",
                                     "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
    )  # fmt: skip
    _, error = await process.communicate()

    assert 1 == process.returncode
    assert b"127.0.0.1:1: connection refused" in error
    assert 1 == len(error.splitlines())


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--watch", "0"], 2, "not a number above 0"),
        (["--window", "10"], 2, "one measurement has no window"),
        (["--window", "10", "--watch", "8"], 2, "at least twice --watch"),
        (["--daemon", "--json"], 2, "--daemon prints nothing"),
        (["--by-topic"], 2, "needs --daemon"),
        (["--for", "5", "--watch", "5"], 2, "--for prints one result"),
        (["--for", "5", "--daemon"], 2, "--for prints one result"),
        (["--exclude-group", "console-["], 2, "'console-[' is not a regular expression"),
        (["--exclude-topic", "*.dlq"], 2, "'*.dlq' is not a regular expression"),
        (["--group", "a", "--exclude-group", "a|b"], 2, "group a is named and also excluded"),
        (["--group", "absent"], 1, "no offset is committed for group absent"),
        (["--topic", "nothing"], 1, "no offset is committed for topic nothing"),
    ],
)
def test_bad_usage_is_reported_in_one_line(
    kafka_servers: str,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    message: str,
) -> None:
    assert code == main(["lag", "--bootstrap-servers", kafka_servers, *more])

    captured = capsys.readouterr()
    assert "" == captured.out
    assert 1 == len(captured.err.splitlines())
    assert message in captured.err


def test_a_cluster_that_does_not_answer_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert 1 == main(["lag", "--bootstrap-servers", "127.0.0.1:1"])

    captured = capsys.readouterr()
    assert ("", 1) == (captured.out, len(captured.err.splitlines()))
    assert "127.0.0.1:1: connection refused" in captured.err


def test_an_endpoint_that_is_not_an_address_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:abc")
    assert 2 == main(["lag", "--daemon", "--bootstrap-servers", "127.0.0.1:1"])

    captured = capsys.readouterr()
    assert ("", 1) == (captured.out, len(captured.err.splitlines()))
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is no address" in captured.err
