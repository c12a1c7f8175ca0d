from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from demo_pipeline.__main__ import main
from demo_pipeline.app.http_server import listen
from demo_pipeline.app.recording import exporting_providers
from demo_pipeline.broker import EmbeddedBroker
from demo_pipeline.runtime.database import open_database
from demo_pipeline.runtime.errors import DemoError, UsageError
from demo_pipeline.services import SERVICES
from demo_pipeline.services.read_models import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert "" == output.out
    return line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "--scenario", "apocalypse"], "steady"),
        (["run", "--orders", "0"], "--orders"),
        (["run", "--rate", "0"], "--rate"),
        (["run", "--orders", "many"], "--orders"),
        (["serve", "catering"], "analytics"),
        (["serve", "payment"], "KAFKA_BOOTSTRAP_SERVERS"),
        (["dance"], "dance"),
        (["run", "--bootstrap-servers", "host:abc"], "'host:abc'"),
        (["run", "--bootstrap-servers", "host:65536"], "'host:65536'"),
        (["run", "--bootstrap-servers", "host:0"], "'host:0'"),
        (["run", "--bootstrap-servers", "host:"], "'host:'"),
        (["run", "--bootstrap-servers", "one:9092,two:x"], "'two:x'"),
        (["serve", "orders", "--bootstrap-servers", "http://host:9092"], "http://host:9092"),
        (["run", "--bootstrap-servers", "host:\u0663"], "HOST:PORT"),
        (["run", "--bootstrap-servers", "user:secret@host:9092"], "HOST:PORT"),
        (["run", "--http-port", "abc"], "--http-port"),
        (["run", "--views-port", "65536"], "--views-port"),
        (["run", "--name-users"], "--report DIR"),
        (["run", "--log-level", "loud"], "'loud'"),
        (["run", "--log-level", "aiokafka=loud"], "'aiokafka=loud'"),
        (["run", "--log-level", "=debug"], "'=debug'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: Sequence[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(arguments)
    line = _one_line(capsys)
    assert named in line
    assert "secret" not in line


def test_a_missing_broker_is_one_line_and_exit_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo_pipeline.app.run.REACH_S", 0.2)
    with listen(0) as listener:
        port = listener.getsockname()[1]
    assert 1 == main(["run", "--bootstrap-servers", f"127.0.0.1:{port}"])
    assert f"127.0.0.1:{port}" in _one_line(capsys)


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("broker.invalid:9092", "the name cannot be resolved"),
        ("127.0.0.1:1", "the connection is refused"),
        ("broker.invalid:9092,127.0.0.1:1", "the name cannot be resolved, the connection is"),
    ],
)
def test_a_missing_broker_is_reported_with_the_cause(
    address: str, cause: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo_pipeline.app.run.REACH_S", 0.2)

    assert 1 == main(["run", "--bootstrap-servers", address])
    assert f"at {address} ({cause}" in _one_line(capsys)


def test_a_port_on_which_something_else_listens_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo_pipeline.app.run.REACH_S", 0.2)
    with listen(0) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert 1 == main(["run", "--bootstrap-servers", address])

    assert "what listens there does not answer as Kafka does" in _one_line(capsys)


@pytest.mark.parametrize("option", ["--http-port", "--views-port"])
def test_a_port_that_is_taken_is_one_line_and_exit_1(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with listen(0) as listener:
        port = str(listener.getsockname()[1])
        assert 1 == main(["run", option, port])
    line = _one_line(capsys)
    assert f"127.0.0.1:{port}" in line
    assert option in line


def test_an_unwritable_report_folder_fails_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "report"
    assert 2 == main(["run", "--report", str(folder)])
    assert str(folder) in _one_line(capsys)


def test_an_unusable_database_url_is_reported_without_its_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_DATABASE_URL", "mysql://shop:secret@db/orders")
    assert 2 == main(["run"])
    line = _one_line(capsys)
    assert "ORDERS_DATABASE_URL" in line
    assert "secret" not in line


def test_a_missing_schema_registry_is_one_line_and_exit_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo_pipeline.app.run.REACH_S", 0.2)
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://shop:secret@127.0.0.1:1")
    assert 1 == main(["run"])
    line = _one_line(capsys)
    assert "the schema registry at http://127.0.0.1:1 does not answer (ConnectError)" in line


def test_an_unusable_registry_url_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "shop:secret@registry")
    assert 2 == main(["run"])
    line = _one_line(capsys)
    assert "SCHEMA_REGISTRY_URL is no address" in line
    assert "secret" not in line


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["run", "--help"])
    assert "--scenario" in capsys.readouterr().out


def test_the_help_of_replay_names_the_read_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["replay", "--help"])
    assert f"--read-model [{'|'.join(PROJECTIONS)}]" in capsys.readouterr().out


def test_an_unknown_service_is_refused_with_the_names_of_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert 2 == main(["serve", "shop"])
    line = _one_line(capsys)
    assert [] == [name for name in SERVICES if repr(name) not in line]


@pytest.mark.integration
async def test_a_service_finishes_cleanly_when_it_is_stopped(tmp_path: Path) -> None:
    async with EmbeddedBroker() as broker:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "demo_pipeline", "serve", "orders"),
            *("--bootstrap-servers", broker.bootstrap_servers),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        ready = await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert b"listens on http://127.0.0.1:" in ready
    assert (0, b"") == (process.returncode, errors)
    assert (tmp_path / "orders.sqlite3").exists()


async def _stopped_run(*arguments: str) -> tuple[int | None, bytes, bytes]:
    """Stop a run after its first order; return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo_pipeline", "run", "--orders", "100000"),
        *("--log-level", "info", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        while b"was accepted" not in (line := await process.stderr.readline()):
            assert line, "the run ended by itself"
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()
    finally:
        # A run that goes on would slow down all further tests.
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output, errors


@pytest.mark.integration
async def test_a_run_that_is_stopped_says_so_in_one_line() -> None:
    code, output, errors = await _stopped_run()
    assert 130 == code
    assert b"" == output
    assert b"demo_pipeline: stopped" == errors.splitlines()[-1]
    assert b"Traceback" not in errors


@pytest.mark.integration
async def test_the_report_of_a_run_that_is_stopped_says_so(tmp_path: Path) -> None:
    code, output, errors = await _stopped_run("--report", str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert 130 == code
    assert b"Traceback" not in errors
    assert b"the run was stopped" in output
    assert "The run failed" in page
    assert "verdict good" not in page
    assert (tmp_path / "traces.jsonl").stat().st_size


def test_a_run_that_cannot_start_replaces_an_older_successful_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo_pipeline.app.run.REACH_S", 0.2)
    (tmp_path / "report.html").write_text("✓")
    where = ["--bootstrap-servers", "127.0.0.1:1", "--report", str(tmp_path)]
    assert 1 == main(["run", *where])
    assert "no Kafka broker answers" in capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    assert "✓" not in page
    assert "no Kafka broker answers" in page


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "host:abc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:abc"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://host:99999/v1/traces"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "host:4318"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://"),
    ],
)
def test_an_impossible_address_in_the_environment_is_one_line_and_exit_2(
    variable: str, value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    if variable == "KAFKA_BOOTSTRAP_SERVERS":
        assert 2 == main(["run"])
        assert value in _one_line(capsys)
    else:
        with pytest.raises(UsageError, match=variable):
            exporting_providers("orders")


@pytest.mark.parametrize(
    ("url", "code", "named"),
    [
        ("postgresql+asyncpg://host:abc/shop", 2, "ORCHESTRATOR_DATABASE_URL"),
        ("postgresql+asyncpg://host:99999/shop", 2, "99999"),
        ("mysql://host/shop", 2, "mysql"),
        ("postgresql+asyncpg://127.0.0.1:0/shop", 2, "port 0"),
        ("postgresql+asyncpg:///shop?host=127.0.0.1:70000", 2, "ORCHESTRATOR_DATABASE_URL"),
        ("postgresql+asyncpg://u:secret@127.0.0.1:1/shop?sslmode=require", 2, "sslmode"),
        ("sqlite:///shop.sqlite3", 2, "ORCHESTRATOR_DATABASE_URL"),
        ("postgresql+asyncpg://127.0.0.1:1/shop", 1, "ConnectionRefusedError"),
    ],
)
def test_an_unusable_database_is_one_line(
    url: str,
    code: int,
    named: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", url)
    assert code == main(["saga", "list"])
    line = _one_line(capsys)
    assert named in line
    assert "secret" not in line


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://127.0.0.1:1/shop",
        "postgresql+asyncpg://127.0.0.1:1/shop?sslmode=require",
        "sqlite+aiosqlite:////nowhere/orders.sqlite3",
    ],
)
async def test_a_service_whose_database_cannot_be_opened_says_so(url: str) -> None:
    with pytest.raises(DemoError, match="ORDERS_DATABASE_URL"):
        async with open_database(SERVICES["orders"], url):
            pass
