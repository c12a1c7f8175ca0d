"""A collector's answers: what is accepted, what is counted as lost, and how much is read."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from tests.tracing.export.collectors import LOGS, METRICS, TRACES, Collector, hanging, reply
from tracing import Telemetry, otlp

PROTOBUF = "application/x-protobuf"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
        yield found


@pytest.fixture
def providers(collector: Collector) -> Iterator[otlp.Providers]:
    found = otlp.configure("s")
    yield found
    collector.answer = reply()
    found.shutdown()


def _export(providers: otlp.Providers, spans: int = 3) -> dict[str, float]:
    """Export three spans; returns what of spans was counted as lost, by reason."""
    tracer = providers.tracer_provider.get_tracer("t")
    for _ in range(spans):
        tracer.start_span("s").end()
    providers.tracer_provider.force_flush()
    return _lost(providers, "span_")


def _lost(providers: otlp.Providers, prefix: str) -> dict[str, float]:
    counted = providers.account._losses()
    return {
        str(labels["reason"]): value
        for labels, value in counted
        if value and str(labels["reason"]).startswith(prefix)
    }


@pytest.mark.parametrize(
    "answer",
    [
        reply(),
        reply("202 Accepted"),
        reply("204 No Content"),
        reply(body=ExportTraceServiceResponse().SerializeToString(), content_type=PROTOBUF),
        reply(body=b"{}", content_type="application/json"),
        reply(body=b'{"partialSuccess":{}}', content_type="application/json"),
        reply(body=b'{"partialSuccess":null}', content_type="application/json; charset=utf-8"),
        reply(body=b'"accepted"', content_type="application/json"),
        reply(body=b"OK", content_type="text/plain"),
        reply(body=b"OK"),
        reply(body=b"accepted", content_type="application/octet-stream"),
        reply(body=b'{"partialSuccess":{"rejectedSpans":1e999}}', content_type="application/json"),
        reply(body=gzip.compress(b"{}"), content_type="application/json", content_encoding="gzip"),
    ],
)
def test_a_2xx_answer_of_the_collector_is_success(
    collector: Collector, providers: otlp.Providers, answer: Any
) -> None:
    collector.answer = answer

    assert {} == _export(providers)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (reply("301 Moved Permanently", location="http://127.0.0.1:9/"), "301"),
        (reply("304 Not Modified"), "304"),
        (reply("307 Temporary Redirect", location="/elsewhere"), "307"),
        (reply("308 Permanent Redirect", location="http://user:secret@x/"), "308"),
        (reply("400 Bad Request", body=b"x" * 100_000), "400"),
        (reply("503 Service Unavailable", retry_after="7200"), "503"),
        (reply("429 Too Many Requests", retry_after="Fri, 31 Dec 2999 23:59:59 GMT"), "429"),
        (reply(body=b"<!doctype html><p>Log in", content_type="text/html"), "web page"),
        (reply(body=b"  <html>"), "web page"),
        (reply(body=b"\xff\xfe\xfd", content_type=PROTOBUF), "no OTLP response"),
        (reply(body=b"not json", content_type="application/json"), "no JSON"),
        (reply(body=b"x" * 100_000, content_type="text/plain"), "longer than"),
        (reply(body=gzip.compress(b"0" * 10_000_000), content_encoding="gzip"), "longer than"),
        (reply(body=b"not gzip", content_encoding="gzip"), "decompressed"),
    ],
)
def test_spans_that_no_collector_accepted_are_counted_and_logged_once_with_the_cause(
    collector: Collector,
    providers: otlp.Providers,
    answer: Any,
    cause: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector.answer = answer

    with caplog.at_level(logging.WARNING, "tracing"):
        assert {"span_export": 3} == _export(providers)
        assert {"span_export": 6} == _export(providers)

    (line,) = [record for record in caplog.records if record.name == "tracing"]
    assert cause in line.getMessage()
    assert "RefusedError" not in line.getMessage()
    assert "secret" not in caplog.text


def test_a_redirect_is_not_followed(collector: Collector, providers: otlp.Providers) -> None:
    with Collector() as other:
        collector.answer = reply("307 Temporary Redirect", location=f"{other.url}{TRACES}")
        _export(providers)
        assert {} == other.bodies


@pytest.mark.parametrize("kind", ["protobuf", "json"])
@pytest.mark.parametrize(("rejected", "expected"), [(2, 2), (10**18, 3), (0, 0), (-5, 0)])
def test_spans_that_the_collector_refuses_are_counted(
    collector: Collector,
    providers: otlp.Providers,
    kind: str,
    rejected: int,
    expected: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = "quota\r\n\x1b[31mforged"
    if kind == "json":
        partial = {"rejectedSpans": str(rejected), "errorMessage": said}
        body = json.dumps({"partialSuccess": partial}).encode()
        collector.answer = reply(body=body, content_type="application/json")
    else:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = said
        collector.answer = reply(body=response.SerializeToString(), content_type=PROTOBUF)

    with caplog.at_level(logging.WARNING, "tracing"):
        assert ({"span_rejected": expected} if expected else {}) == _export(providers)

    lines = [record.getMessage() for record in caplog.records if record.name == "tracing"]
    assert expected == 0 or "quota??" in lines[0]
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("kind", [None, "application/protobuf", "application/octet-stream"])
def test_a_partial_success_counts_without_a_content_type(
    collector: Collector, providers: otlp.Providers, kind: str | None
) -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 2
    named = {} if kind is None else {"content_type": kind}
    collector.answer = reply(body=response.SerializeToString(), **named)

    assert {"span_rejected": 2} == _export(providers)


def test_metric_points_and_log_records_that_are_refused_are_counted(
    collector: Collector, providers: otlp.Providers
) -> None:
    metrics, logs = ExportMetricsServiceResponse(), ExportLogsServiceResponse()
    metrics.partial_success.rejected_data_points = 2
    logs.partial_success.rejected_log_records = 1
    bodies: dict[str, Any] = {METRICS: metrics, LOGS: logs, TRACES: ExportTraceServiceResponse()}

    def answer(connection: socket.socket, path: str) -> None:
        reply(body=bodies[path].SerializeToString(), content_type=PROTOBUF)(connection, path)

    collector.answer = answer
    kept = providers.telemetry("orders")
    for _ in range(2):
        providers.logger_provider.get_logger("t").emit(LogRecord(body="b"))

    assert not providers.force_flush()

    assert {"log_rejected": 1} == _lost(providers, "log_")
    assert {"metric_rejected": 2} == _lost(providers, "metric_")
    assert "orders" == kept.pipeline


def test_metric_points_and_log_records_that_no_collector_accepted_are_counted(
    collector: Collector, providers: otlp.Providers
) -> None:
    providers.meter_provider.get_meter("t").create_counter("c").add(1)
    providers.logger_provider.get_logger("t").emit(LogRecord(body="b"))
    collector.answer = reply("400 Bad Request")

    assert not providers.force_flush()

    assert {"log_export": 1} == _lost(providers, "log_")
    assert {"metric_export": 1} == _lost(providers, "metric_")


def test_log_records_dropped_by_a_full_queue_are_counted(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BLRP_MAX_QUEUE_SIZE", "2")
    monkeypatch.setenv("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "2")
    collector.answer = hanging(collector)
    providers = otlp.configure("s")
    logger = providers.logger_provider.get_logger("t")

    for _ in range(2):
        logger.emit(LogRecord(body="on its way"))
    while not collector.bodies[LOGS]:
        collector.closing.wait(0.01)
    for _ in range(8):
        logger.emit(LogRecord(body="two of these wait"))

    assert {"log_queue": 6} == _lost(providers, "log_")
    providers.shutdown(0)


def _endless(prefix: bytes, unit: bytes) -> Callable[[Collector], Any]:
    def make(collector: Collector) -> Any:
        def answer(connection: socket.socket, _path: str) -> None:
            connection.sendall(prefix)
            while not collector.closing.wait(0 if len(unit) > 1 else 0.05):
                connection.sendall(unit)

        return answer

    return make


@pytest.mark.parametrize(
    "answer",
    [
        _endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        _endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\nxx\r\n" * 999),
        _endless(b"HTTP/1.1 500 No\r\ncontent-length: 9999999999\r\n\r\n", b"x" * 65536),
        _endless(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n", b"x"),
        _endless(b"HTTP/1.1 200 OK\r\nx: ", b"x"),
        _endless(b"HTTP/1.1 ", b"x"),
        _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "error", "slow body", "slow header", "slow status", "continue"],
)
def test_an_endless_answer_is_abandoned(
    collector: Collector, providers: otlp.Providers, answer: Any
) -> None:
    collector.answer = answer(collector)

    assert {"span_export": 3} == _export(providers)


_HUGE = """
import resource, sys
from tracing import otlp
providers = otlp.configure("s")
tracer = providers.tracer_provider.get_tracer("t")
for _ in range(20):
    tracer.start_span("s").end()
    providers.tracer_provider.force_flush()
    before = before if _ else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
providers.shutdown(0)
"""


def test_a_huge_answer_takes_no_memory(collector: Collector) -> None:
    huge = b"x" * 64 * 1024 * 1024
    collector.answer = reply(body=huge)
    done = subprocess.run(
        [sys.executable, "-c", _HUGE], check=True, capture_output=True, text=True, timeout=100
    )
    assert int(done.stdout) < 32


def test_the_next_export_uses_a_connection_that_works(
    collector: Collector, providers: otlp.Providers
) -> None:
    collector.answer = reply(body=b"x" * 100_000)
    assert {"span_export": 3} == _export(providers)
    collector.answer = reply()
    assert {"span_export": 3} == _export(providers)
    assert {"span_export": 3} == _export(providers)


def test_losses_of_a_custom_provider_can_be_counted(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeps = InMemoryMetricReader()
    provider = TracerProvider(shutdown_on_exit=False)
    telemetry = Telemetry("orders", tracer_provider=provider, meter_provider=MeterProvider([keeps]))
    # Two, with accounts that add up; and one with an exporter of the SDK's.
    for exporter in (None, None, OTLPSpanExporter()):
        provider.add_span_processor(otlp.counting_span_processor(telemetry, exporter))
    collector.answer = reply("400 Bad Request")
    provider.get_tracer("t").start_span("s").end()
    provider.shutdown()

    data = keeps.get_metrics_data()
    assert data is not None
    lost = [
        getattr(point, "value", None)
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "pipeline.telemetry.dropped"
        for point in metric.data.data_points
        if {"reason": "span_export"} == point.attributes
    ]
    assert [3] == lost
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    with pytest.raises(ValueError, match="OTEL_TRACES_EXPORTER"):
        otlp.counting_span_processor(telemetry)
