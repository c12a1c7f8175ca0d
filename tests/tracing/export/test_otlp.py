"""The SDK set-up: what is exported, where to, and in which form."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
)
from opentelemetry.sdk.trace import SpanProcessor

from tests.tracing.kept_metrics import KeptMetrics
from tracing import Telemetry, TracedProducer, otlp
from tracing.export.endpoint import check_endpoint
from tracing.testing import InMemoryBroker, InMemoryProducer


class Collector:
    """An OTLP/HTTP endpoint on loopback that keeps what it is sent."""

    def __init__(self) -> None:
        self.received: dict[str, list[bytes]] = {}
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.received.setdefault(self.path, []).append(body)
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    found = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
    yield found
    found.stop()


async def send(providers: otlp.Providers, number: int) -> None:
    telemetry = providers.telemetry("orders")
    async with TracedProducer(InMemoryProducer(InMemoryBroker()), telemetry) as producer:
        for _ in range(number):
            await producer.send_and_wait("orders", b"v")


async def test_spans_and_metrics_arrive_at_the_endpoint(collector: Collector) -> None:
    providers = otlp.configure("payment")
    await send(providers, 3)

    assert providers.force_flush()
    providers.shutdown()

    spans = [
        span
        for body in collector.received["/v1/traces"]
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert ["send orders"] * 3 == [span.name for span in spans]
    metrics = {
        metric.name: metric
        for body in collector.received["/v1/metrics"]
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert 3 == metrics["messaging.client.sent.messages"].sum.data_points[0].as_int
    assert 3 == metrics["messaging.client.operation.duration"].histogram.data_points[0].count


@pytest.mark.parametrize(
    ("temporality", "expected"),
    [(AggregationTemporality.CUMULATIVE, [2, 5]), (AggregationTemporality.DELTA, [2, 3])],
)
async def test_aggregated_histograms_have_the_exporters_temporality(
    temporality: AggregationTemporality, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    exporter = KeptMetrics(temporality)
    providers = otlp.configure("s", span_processor=SpanProcessor(), metric_exporter=exporter)
    counts = []
    for number in (2, 3):
        await send(providers, number)
        providers.force_flush()
        points = exporter.points("messaging.client.operation.duration")
        counts += [point.count for point in points]
    providers.shutdown()

    assert expected == counts


async def test_a_value_recorded_while_the_extremes_restart_is_never_between_impossible_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    exporter = KeptMetrics(AggregationTemporality.DELTA)
    providers = otlp.configure("s", span_processor=SpanProcessor(), metric_exporter=exporter)
    await send(providers, 1)
    # As if the value were recorded at the very moment of an export.
    providers.aggregator.totals(restart_extremes=True)
    providers.force_flush()
    (point,) = exporter.points("messaging.client.operation.duration")
    providers.shutdown()

    assert point.min == point.max == point.sum


async def test_a_dead_collector_does_not_delay_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    providers = otlp.configure("s")

    await send(providers, 100)

    providers.shutdown()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml"),
    ],
)
def test_unsupported_settings_are_refused_by_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValueError, match=variable):
        otlp.configure("s")


def test_exporters_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "none")

    providers = otlp.configure("s")

    assert providers.force_flush()
    providers.shutdown()


def _last_counters(collector: Collector) -> dict[tuple[str, str], float]:
    """Return the last counters that the collector received, by metric and by their one label."""
    found = {}
    for body in collector.received["/v1/metrics"]:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.sum.data_points:
                        label = next((each.value.string_value for each in point.attributes), "")
                        found[metric.name, label] = point.as_double or point.as_int
    return found


def test_the_cost_of_export_is_reported_and_spans_that_no_collector_accepted_are_counted(
    collector: Collector,
) -> None:
    providers = otlp.configure("s")
    # Twice on the same providers: they have one account.
    kept = [providers.telemetry("orders") for _ in range(2)]
    tracer = providers.tracer_provider.get_tracer("t")
    for collector.status in (200, 400):
        for _ in range(3):
            tracer.start_span("s").end()
        providers.tracer_provider.force_flush()
    collector.status = 200
    providers.meter_provider.force_flush()
    # What the first export of metrics took is known to the second.
    providers.meter_provider.force_flush()
    providers.shutdown()
    counters = _last_counters(collector)
    assert 3 == counters["pipeline.telemetry.dropped", "span_export"]
    assert 0 < counters["pipeline.telemetry.export.time", "traces"] < 60
    assert 0 < counters["pipeline.telemetry.export.time", "metrics"] < 60
    assert 2 == len(kept)


def test_configured_reports_whether_there_is_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not otlp.configured()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://127.0.0.1:9")
    assert otlp.configured("logs")
    assert not otlp.configured("traces")


@pytest.mark.parametrize(
    ("protocol", "endpoint"),
    [
        ("http/protobuf", "http://collector:abc"),
        ("http/protobuf", "http://collector:99999"),
        ("http/protobuf", "http://collector:0"),
        ("http/protobuf", "http://user:secret@collector:abc"),
        ("http/protobuf", "collector:4318"),
        ("http/protobuf", "ftp://collector:4318"),
        ("http/protobuf", "http://[::1"),
        ("http/protobuf", "https://"),
        ("grpc", "collector:abc"),
        ("grpc", "http://collector:abc"),
    ],
)
def test_the_refusal_of_an_invalid_endpoint_names_only_the_variable(
    monkeypatch: pytest.MonkeyPatch, protocol: str, endpoint: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_ENDPOINT is no address") as refused:
        otlp.configure("orders")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("protocol", "endpoint"),
    [
        ("http/protobuf", ""),
        ("http/protobuf", "http://localhost:4318"),
        ("http/protobuf", "https://user:secret@collector/otlp/"),
        ("http/protobuf", "http://[::1]:4318"),
        ("grpc", "collector:4317"),
        ("grpc", "http://collector:4317"),
        ("grpc", "dns:///collector:4317"),
        ("grpc", "unix:///run/collector"),
    ],
)
def test_a_valid_endpoint_is_accepted(
    monkeypatch: pytest.MonkeyPatch, protocol: str, endpoint: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    check_endpoint("traces", protocol)


@pytest.mark.parametrize(
    ("endpoint", "preference", "explained"),
    [
        ("http://prometheus:9090/api/v1/otlp", "delta", True),
        ("http://mimir/otlp", "lowmemory", True),
        ("http://prometheus:9090/api/v1/otlp", "cumulative", False),
        ("http://collector:4318", "delta", False),
    ],
)
def test_a_receiver_that_refuses_delta_temporality_is_named_at_the_start(
    endpoint: str,
    preference: str,
    explained: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
    monkeypatch.setattr("tracing.core.log._warned", set())
    for _ in range(2):
        otlp.configure("s").shutdown(timeout_s=0)
    lines = [each for each in caplog.messages if "TEMPORALITY_PREFERENCE" in each]
    assert [preference in line for line in lines] == [True] * explained


async def test_several_exporters_get_everything(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", " console, otlp,,Console")
    providers = otlp.configure("payment")
    providers.logger_provider.get_logger("t").emit(LogRecord(body="a log record"))

    await send(providers, 3)
    providers.shutdown()

    assert {"/v1/traces", "/v1/metrics", "/v1/logs"} <= collector.received.keys()
    body = b"".join(collector.received["/v1/metrics"])
    captured = capsys.readouterr()
    for name in ("messaging.client.sent.messages", "messaging.client.operation.duration"):
        assert name.encode() in body
        assert name in captured.out
    assert '"body": "a log record"' in captured.out
    assert 3 == captured.err.count("send orders · orders PRODUCER")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("none,otlp", "none excludes the others"),
        ("otlp,zipkin,jaeger", "does not know zipkin, jaeger"),
    ],
)
def test_a_list_of_exporters_that_makes_no_sense_is_refused(
    value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", value)

    with pytest.raises(ValueError, match=f"OTEL_TRACES_EXPORTER={value}: .*{message}"):
        otlp.configure("s")


def test_a_processor_of_ones_own_has_one_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console,otlp")

    with pytest.raises(ValueError, match="a processor for each"):
        otlp.counting_span_processor(Telemetry("orders"))
