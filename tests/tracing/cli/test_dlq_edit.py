"""Edit one dead letter in the user's editor, and replay it."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer

from demo_pipeline.broker import create_topics
from tests.tracing.dlq.cluster import Cluster
from tests.tracing.dlq.other_systems import MINE, share_group
from tracing import Provenance, Replay
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

EDITOR = """
import os, pathlib, stat, sys, time
file, log = pathlib.Path(sys.argv[-1]), pathlib.Path(sys.argv[1])
with log.open("a") as seen:
    mode = lambda path: oct(stat.S_IMODE(path.stat().st_mode))
    print(file, mode(file), mode(file.parent), file=seen)
number = len(log.read_text().splitlines())
steps = sys.argv[2:-1]
step = steps[min(number, len(steps)) - 1]
if step == "wait":
    time.sleep(60)
if step == "fail":
    sys.exit(3)
old, _, new = step.partition("=")
file.write_text(file.read_text().replace(old, new))
"""


@pytest.fixture(params=["embedded_servers", pytest.param("kafka_servers", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    cluster = Cluster(request.getfixturevalue(request.param))
    asyncio.run(cluster.fill())
    return cluster


class Editor:
    """An editor that replaces text."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "editor.py"
        self.program.write_text(EDITOR)
        self.log = folder / "a log.txt"

    def command(self, *steps: str) -> str:
        """Return a command with arguments, one of them with a space in it."""
        arguments = " ".join(f"'{step}'" for step in steps)
        return f"{sys.executable} {self.program} '{self.log}' {arguments}"

    def opened(self) -> list[tuple[Path, str, str]]:
        """Return the files that were opened, their modes, and those of their folders."""
        if not self.log.exists():
            return []
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [(Path(file), mode, folder) for file, mode, folder in lines]


@pytest.fixture
def edit_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Editor]:
    editor = Editor(tmp_path)

    def set_up(*steps: str) -> Editor:
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", editor.command(*steps))
        return editor

    return set_up


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{answer}\n" for answer in answers)))


def dead_letter(cluster: Cluster, value: bytes) -> str:
    """Write a dead letter, and return its id."""

    async def write() -> int:
        lost = Provenance(
            topic=cluster.topic, partition=0, offset=3, timestamp_ms=1, group="payment",
            exception="E", message="", attempts=1, first_failed_at_ms=1, failed_at_ms=1,
        )  # fmt: skip
        async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
            written = await producer.send_and_wait(
                cluster.of_payment, value, b"key", partition=1,
                headers=[("mine", b"\xff"), *lost.headers()],
            )  # fmt: skip
            return int(written.offset)

    return f"{cluster.of_payment}/1/{asyncio.run(write())}"


def sent(cluster: Cluster) -> list[Any]:
    return asyncio.run(cluster.records())


def test_an_edited_dead_letter_is_sent_with_its_key_headers_and_mark(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    edit_with: Callable[..., Editor],
) -> None:
    lost = dead_letter(cluster, b'{"amount":1.0,"note":"a b"}')
    editor = edit_with("1.0=2.50")
    at_a_terminal(monkeypatch, "y")

    assert 0 == cluster.run("edit", lost)

    captured = capsys.readouterr()
    assert '-  "amount": 1.0,\n+  "amount": 2.50,' in captured.err
    assert f"Send this to {cluster.topic}[0] for group payment?" in captured.err
    assert "sent to" in captured.out
    (record,) = sent(cluster)
    assert (b"key", b'{"amount":2.50,"note":"a b"}', 0) == (
        record.key,
        record.value,
        record.partition,
    )
    assert ("mine", b"\xff") in record.headers
    assert Replay(group="payment", id=f"{cluster.topic}/0/3") == Replay.from_headers(record.headers)
    assert 0 == cluster.run("show", lost, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert ("yes", True) == (shown["replayed"], shown["edited"])
    ((file, mode, folder),) = editor.opened()
    assert ("value.json", "0o600", "0o700") == (file.name, mode, folder)
    assert not file.parent.exists()


def test_visual_is_preferred_and_yes_asks_nothing(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    edit_with: Callable[..., Editor],
) -> None:
    editor = edit_with("fail")
    monkeypatch.setenv("VISUAL", editor.command("secret=public"))

    assert 0 == cluster.run("edit", f"{cluster.of_payment}/0/0", "--yes", "--json")

    document = json.loads(capsys.readouterr().out)
    assert (True, True) == (document["changed"], document["sent"])
    assert [b"public-1"] == [record.value for record in sent(cluster)]


@pytest.mark.parametrize(
    ("step", "code", "message"),
    [("nothing=at all", 0, "nothing was changed"), ("fail", 1, "ended with 3")],
)
def test_nothing_is_sent_if_nothing_was_changed_or_the_editor_fails(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    edit_with: Callable[..., Editor],
    step: str,
    code: int,
    message: str,
) -> None:
    editor = edit_with(step)

    assert code == cluster.run("edit", f"{cluster.of_payment}/0/0", "--yes")

    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert [] == sent(cluster)
    assert [False] == [file.parent.exists() for file, _, _ in editor.opened()]


@pytest.mark.parametrize("command", ["/no/such/editor --wait", "'unbalanced"])
def test_an_editor_that_cannot_be_started_is_reported_in_one_line(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", command)

    assert 1 == cluster.run("edit", f"{cluster.of_payment}/0/0", "--yes")

    captured = capsys.readouterr()
    assert ("", 1) == (captured.out, len(captured.err.splitlines()))
    assert "nothing was sent" in captured.err


def test_what_is_no_longer_json_is_edited_again_or_refused(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    edit_with: Callable[..., Editor],
) -> None:
    lost = dead_letter(cluster, b'{"amount":1.0}')
    editor = edit_with("1.0=", "a=a")

    assert 1 == cluster.run("edit", lost, "--yes")
    assert "the text is not JSON: line 3" in capsys.readouterr().err
    assert [] == sent(cluster)

    editor.log.unlink()
    edit_with("1.0=", ": = : 7")
    at_a_terminal(monkeypatch, "y", "y")
    assert 0 == cluster.run("edit", lost)
    assert "Edit again?" in capsys.readouterr().err
    assert [b'{"amount":7}'] == [record.value for record in sent(cluster)]
    assert 1 == len({file for file, _, _ in editor.opened()})


def test_a_binary_value_is_edited_as_hexadecimal_digits_only(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], edit_with: Callable[..., Editor]
) -> None:
    lost = dead_letter(cluster, b"\x00\x01\xff")
    edit_with("01=02")

    assert 1 == cluster.run("edit", lost, "--yes")
    assert "is not text: --hex edits its bytes" in capsys.readouterr().err
    assert 0 == cluster.run("edit", lost, "--yes", "--hex")
    assert [b"\x00\x02\xff"] == [record.value for record in sent(cluster)]


def test_the_command_asks_before_it_sends_and_before_it_sends_again(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    edit_with: Callable[..., Editor],
) -> None:
    lost = f"{cluster.of_payment}/0/0"
    edit_with("secret=public")

    assert 2 == cluster.run("edit", lost)
    assert "add --yes" in capsys.readouterr().err
    at_a_terminal(monkeypatch, "n")
    assert 130 == cluster.run("edit", lost)
    assert [] == sent(cluster)
    assert 0 == cluster.run("edit", lost, "--yes")
    capsys.readouterr()
    at_a_terminal(monkeypatch, "n")
    assert 130 == cluster.run("edit", lost)
    assert "1 replayed before" in capsys.readouterr().err
    assert 1 == len(sent(cluster))


def test_what_is_no_dead_letter_is_not_edited(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], edit_with: Callable[..., Editor]
) -> None:
    editor = edit_with("a=b")

    assert 1 == cluster.run("edit", f"{cluster.topic}/0/0", "--yes")
    assert "is no dead letter" in capsys.readouterr().err
    assert [] == editor.opened()


def test_a_share_group_s_dead_letter_is_edited_as_the_record_that_it_refers_to(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    edit_with: Callable[..., Editor],
) -> None:
    topic = f"dlq.workers-{cluster.topic}"

    async def write() -> None:
        await create_topics(cluster.servers, {topic: 1})
        async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
            failed = await producer.send_and_wait(
                cluster.topic, b"secret", b"key", partition=1, headers=MINE
            )
            headers = share_group(cluster.topic, 1, failed.offset)
            await producer.send_and_wait(topic, b"", headers=headers, partition=0)

    asyncio.run(write())
    edit_with("secret=public")

    assert 0 == cluster.run("edit", f"{topic}/0/0", "--yes")
    _, record = sent(cluster)
    assert (b"public", b"key") == (record.value, record.key)
    assert 1 == [name for name, _ in record.headers].count("mine")
    capsys.readouterr()
    assert 0 == cluster.run("show", f"{topic}/0/0", "--json")
    assert json.loads(capsys.readouterr().out)["edited"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_the_file_is_removed_if_the_command_is_ended(
    embedded_servers: str, edit_with: Callable[..., Editor], number: signal.Signals
) -> None:
    cluster = Cluster(embedded_servers)
    await cluster.fill()
    editor = edit_with("wait")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tracing", "dlq", "edit", f"{cluster.of_payment}/0/0", "--yes",
        "--bootstrap-servers", cluster.servers, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    ((file, _, _),) = await eventually(editor.opened, timeout_s=60)
    process.send_signal(number)
    _, error = await process.communicate()

    assert (130, b"tracing: stopped") == (process.returncode, error.strip())
    assert not file.parent.exists()
    assert [] == await cluster.records()


def test_telemetry_for_the_console_leaves_standard_output_to_the_report(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    edit_with: Callable[..., Editor],
) -> None:
    lost = dead_letter(cluster, b"old")
    edit_with("old=new")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for signal_ in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal_}_EXPORTER", "console")

    assert 0 == cluster.run("edit", lost, "--yes", "--json")

    captured = capsys.readouterr()
    assert json.loads(captured.out)["sent"]
    assert f"replay {cluster.topic} " in captured.err
