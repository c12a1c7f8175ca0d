"""Commands that export: an exporter that is not installed is one line, with what installs it."""

from __future__ import annotations

import sys

import pytest

from tracing.__main__ import main
from tracing.cli.failures import explained


@pytest.fixture(autouse=True)
def without_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trace", "_metric", "_log"):
        package = f"opentelemetry.exporter.otlp.proto.grpc.{name}_exporter"
        monkeypatch.setitem(sys.modules, package, None)
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.delenv(f"OTEL_{signal}_EXPORTER", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")


def test_the_line_says_what_installs_the_exporter(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["lag", "--daemon", "--bootstrap-servers", "127.0.0.1:1"])

    assert (
        "tracing: OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs its exporter: "
        "pip install opentelemetry-exporter-otlp-proto-grpc\n"
    ) == capsys.readouterr().err


def test_a_faulty_import_of_our_own_is_a_mistake_of_the_program() -> None:
    assert None is explained(ImportError("cannot import name 'letters'"))
