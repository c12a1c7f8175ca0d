"""Exporting ends within its time limit, whatever the collector does, and counts its losses."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from tests.tracing.export.collectors import LOGS, METRICS, TRACES, Collector, hanging, reply
from tracing import otlp

# What is asserted of time is that a limit holds at all: without it, each case takes 10 to 60 s.
TIMEOUT_S = 1.0
SOON_S = 8.0


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        yield found


def _unreachable() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _providers(spans: int = 600) -> otlp.Providers:
    providers = otlp.configure("s")
    tracer = providers.tracer_provider.get_tracer("t")
    for _ in range(spans):
        tracer.start_span("s").end()
    providers.meter_provider.get_meter("t").create_counter("c").add(1)
    for _ in range(2):
        providers.logger_provider.get_logger("t").emit(LogRecord(body="b"))
    return providers


@pytest.mark.parametrize("kind", ["refused", "black hole", "retry later", "redirects", "slow"])
def test_all_signals_stop_together_within_the_time_and_the_losses_are_one_line(
    collector: Collector,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def slow(connection: socket.socket, path: str) -> None:
        collector.closing.wait(30)
        reply()(connection, path)

    collector.answer = {
        "black hole": hanging(collector),
        "retry later": reply("503 Service Unavailable", retry_after="3600"),
        "redirects": reply("307 Temporary Redirect", location="/"),
        "slow": slow,
    }.get(kind, reply())
    if kind == "refused":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", _unreachable())
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512")
    providers = _providers(500)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "tracing"):
        providers.shutdown(TIMEOUT_S)

    assert time.monotonic() - started < SOON_S
    lost = providers.account.losses()
    assert {"spans": 500, "metric points": 1, "log records": 2} == lost
    (line,) = [record.getMessage() for record in caplog.records if record.name == "tracing"]
    assert "500 spans, 1 metric point, 2 log records" in line


def test_a_healthy_collector_causes_no_loss(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    providers = _providers()
    providers.shutdown()

    assert 600 == len(collector.spans())
    assert {TRACES, METRICS, LOGS} == set(collector.bodies)
    assert {"spans": 0, "metric points": 0, "log records": 0} == providers.account.losses()
    assert [] == [record for record in caplog.records if record.name == "tracing"]


def test_shutdown_is_safe_from_several_threads_and_again(collector: Collector) -> None:
    providers = _providers()
    ended: list[int] = []

    def stop() -> None:
        providers.shutdown()
        ended.append(len(collector.spans()))

    threads = [threading.Thread(target=stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    providers.shutdown()

    # Every call returns only after everything was exported.
    assert [600] * 4 == ended
    assert 600 == len(collector.spans())


@pytest.mark.parametrize("timeout_s", [-1.0, float("nan")])
def test_a_timeout_that_is_not_a_number_is_refused(timeout_s: float) -> None:
    providers = otlp.configure("s", span_processor=SpanProcessor())
    with pytest.raises(ValueError, match="timeout_s"):
        providers.shutdown(timeout_s)
    with pytest.raises(ValueError, match="timeout_s"):
        providers.force_flush(timeout_s)
    providers.shutdown(0)


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e308, 1e10])
def test_an_infinite_timeout_is_accepted(collector: Collector, timeout_s: float) -> None:
    providers = _providers()
    assert providers.force_flush(timeout_s)
    providers.tracer_provider.get_tracer("t").start_span("last").end()
    providers.shutdown(timeout_s)

    assert 601 == len(collector.spans())
    assert {"spans": 0, "metric points": 0, "log records": 0} == providers.account.losses()


def test_a_timeout_of_zero_is_accepted(collector: Collector) -> None:
    collector.answer = hanging(collector)
    providers = _providers(500)
    providers.shutdown(0)

    assert 500 == providers.account.losses()["spans"]


def test_a_hanging_processor_does_not_delay_shutdown(collector: Collector) -> None:
    released = threading.Event()

    class Hangs(SpanProcessor):
        def shutdown(self) -> None:
            released.wait(60)

        def on_end(self, span: ReadableSpan) -> None:
            """Hold nothing."""

    providers = _providers()
    providers.tracer_provider.add_span_processor(Hangs())
    started = time.monotonic()
    providers.shutdown(TIMEOUT_S)

    assert time.monotonic() - started < SOON_S
    assert 600 == len(collector.spans())
    released.set()


def test_flushing_is_bounded_and_says_what_failed(collector: Collector) -> None:
    providers = _providers()
    assert providers.force_flush()
    collector.answer = hanging(collector)
    providers.tracer_provider.get_tracer("t").start_span("s").end()
    started = time.monotonic()
    assert not providers.force_flush(TIMEOUT_S)

    assert time.monotonic() - started < SOON_S
    collector.answer = reply("400 Bad Request")
    providers.shutdown(0)


_PROGRAM = """
import logging, sys, time
from tracing import otlp
logging.basicConfig(format="%(name)s %(message)s", stream=sys.stdout)
all = [otlp.configure(f"s{n}") for n in range(6)]
for providers in all:
    tracer = providers.tracer_provider.get_tracer("t")
    for _ in range(10):
        tracer.start_span("s").end()
print("ready", flush=True)
__END__
"""


def _run(end: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM.replace("__END__", end)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "60000"},
    )


def test_telemetry_is_exported_at_interpreter_exit(collector: Collector) -> None:
    done = _run("", collector.url)

    assert (0, "") == (done.returncode, done.stderr)
    assert 60 == len(collector.spans())


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise SystemExit(3)"])
def test_interpreter_exit_shuts_all_services_down_at_once_and_logs_one_line(
    collector: Collector, end: str
) -> None:
    collector.answer = hanging(collector)
    started = time.monotonic()
    done = _run(end, collector.url)

    # Six services, one after the other and signal by signal, would take minutes.
    assert time.monotonic() - started < 30
    assert (3 if end else 0) == done.returncode
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("tracing ")]
    assert "60 spans" in line


def test_a_program_stopped_by_sigterm_can_shut_down_in_time(collector: Collector) -> None:
    collector.answer = hanging(collector)
    end = (
        "import asyncio, signal, os\n"
        "async def main():\n"
        "    stop = asyncio.Event()\n"
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    await stop.wait()\n"
        "    ticks = 0\n"
        "    stopping = asyncio.ensure_future(asyncio.to_thread(all[0].shutdown, 1.0))\n"
        "    while not stopping.done():\n"
        "        await asyncio.sleep(0.01)\n"
        "        ticks += 1\n"
        "    print('ticks', ticks > 10)\n"
        "asyncio.run(main())\n"
        "for each in all: each.shutdown(0)"
    )
    done = _run(end, collector.url)

    assert (0, "") == (done.returncode, done.stderr)
    assert "ticks True" in done.stdout
