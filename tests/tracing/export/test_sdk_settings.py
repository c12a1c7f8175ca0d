"""The settings of the SDK mean the same for locally aggregated durations as for the SDK's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from tests.tracing.kept_metrics import KeptMetrics
from tracing import TracedProducer, otlp
from tracing.metrics.catalog import PROCESS_DURATION, SENT_MESSAGES, WAIT_DURATION
from tracing.metrics.histograms import LocalHistogram
from tracing.testing import InMemoryBroker, InMemoryProducer

LABELS = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "shipping"}
EXPONENTIAL = ExponentialBucketHistogramAggregation()
PROCESS, WAIT = PROCESS_DURATION.name, WAIT_DURATION.name


def _histograms(data: MetricsData) -> list[tuple[object, ...]]:
    """Return the histograms of an export, as far as they do not depend on the clock."""
    return [
        (
            (metric.name, metric.unit, metric.description),
            (type(metric.data).__name__, getattr(metric.data, "aggregation_temporality", None)),
            sorted(dict(point.attributes or {}).items()),
            (point.count, round(point.sum, 6), point.min, point.max),
            getattr(point, "explicit_bounds", None),
            [exemplar.value for exemplar in point.exemplars],
        )
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if isinstance(point, HistogramDataPoint | ExponentialHistogramDataPoint)
    ]


def exported(
    exporter: KeptMetrics, views: list[View], *, fast: bool
) -> list[list[tuple[object, ...]]]:
    """Record the same durations in two intervals; return what was exported after each."""
    providers = otlp.configure(
        "s", span_processor=SpanProcessor(), metric_exporter=exporter, views=views, fast=fast
    )
    telemetry = providers.telemetry("orders")
    telemetry.metrics.count(SENT_MESSAGES, LABELS)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    try:
        for values in ((0.3, 4.0), (0.7,)):
            for metric in (PROCESS_DURATION, WAIT_DURATION):
                durations = telemetry.metrics.durations(metric, LABELS)
                for value in values:
                    with tracer.start_as_current_span("s") as span:
                        durations.record(value, span)
                    durations.record(value * 100)
            providers.meter_provider.force_flush()
        found = [sorted(_histograms(data), key=repr) for data in exporter.exported[:2]]
    finally:
        providers.shutdown()
    assert 2 == len(found)
    return found


@pytest.fixture(autouse=True)
def no_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")


SETTINGS: dict[str, tuple[dict[str, str], list[View], Any, AggregationTemporality]] = {
    "none": ({}, [], None, AggregationTemporality.CUMULATIVE),
    "delta": ({}, [], None, AggregationTemporality.DELTA),
    "exemplars of all": (
        {"OTEL_METRICS_EXEMPLAR_FILTER": "always_on"}, [], None, AggregationTemporality.CUMULATIVE,
    ),
    "no exemplars": (
        {"OTEL_METRICS_EXEMPLAR_FILTER": "always_off"}, [], None, AggregationTemporality.DELTA,
    ),
    "exponential": ({}, [], EXPONENTIAL, AggregationTemporality.CUMULATIVE),
    "own buckets": (
        {}, [], ExplicitBucketHistogramAggregation((1.0, 2.0)), AggregationTemporality.DELTA,
    ),
    "view of one": (
        {}, [View(instrument_name=PROCESS, aggregation=EXPONENTIAL)], None,
        AggregationTemporality.CUMULATIVE,
    ),
    "view without a label": (
        {}, [View(instrument_name=WAIT, attribute_keys={"messaging.destination.name"})], None,
        AggregationTemporality.CUMULATIVE,
    ),
    "renamed": (
        {}, [View(instrument_name=WAIT, name="waiting")], None, AggregationTemporality.DELTA,
    ),
    "dropped": (
        {}, [View(instrument_name="pipeline.*", aggregation=DropAggregation())], None,
        AggregationTemporality.CUMULATIVE,
    ),
    "another instrument's": (
        {}, [View(instrument_name="http.*", aggregation=DropAggregation())], None,
        AggregationTemporality.CUMULATIVE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_a_setting_gives_the_same_histograms_with_and_without_local_aggregation(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, views, aggregation, temporality = SETTINGS[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    local, plain = (
        exported(KeptMetrics(temporality, aggregation), views, fast=fast) for fast in (True, False)
    )

    assert plain == local


@pytest.mark.parametrize(
    ("views", "local"),
    [
        ([], {PROCESS, WAIT}),
        ([View(instrument_name="http.*", aggregation=DropAggregation())], {PROCESS, WAIT}),
        ([View(instrument_name=PROCESS, aggregation=EXPONENTIAL)], {WAIT}),
        ([View(instrument_name="*", attribute_keys=set())], set()),
    ],
)
def test_only_what_a_view_changes_leaves_local_aggregation(
    views: list[View], local: set[str]
) -> None:
    providers = otlp.configure(
        "s", span_processor=SpanProcessor(), metric_exporter=KeptMetrics(), views=views
    )
    metrics = providers.telemetry("orders").metrics

    aggregated = {
        metric.name
        for metric in (PROCESS_DURATION, WAIT_DURATION)
        if isinstance(metrics.durations(metric, LABELS), LocalHistogram)
    }

    providers.shutdown()
    assert local == aggregated


def test_the_environment_can_ask_for_exponential_histograms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "base2_exponential_bucket_histogram",
    )
    providers = otlp.configure("s", span_processor=SpanProcessor())

    durations = providers.telemetry("orders").metrics.durations(PROCESS_DURATION, LABELS)

    providers.meter_provider.shutdown()
    assert not isinstance(durations, LocalHistogram)


LIMITS: list[Mapping[str, str]] = [
    {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "3"},
    {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4"},
    {"OTEL_ATTRIBUTE_COUNT_LIMIT": "2"},
    {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0"},
]


@pytest.mark.parametrize("limits", LIMITS)
async def test_limits_of_attributes_hold_for_light_spans(
    limits: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    attributes = []
    for fast in (True, False):
        processor = SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stdout))
        providers = otlp.configure(
            "s", span_processor=processor, metric_exporter=KeptMetrics(), fast=fast
        )
        await send_one(providers)
        attributes.append(json.loads(capsys.readouterr().out)["attributes"])

    light, plain = (
        {name: len(value) for name, value in each.items() if isinstance(value, str)}
        for each in attributes
    )
    assert plain == light
    assert max([0, *light.values()]) <= 4 or len(light) <= 2


async def send_one(providers: otlp.Providers) -> None:
    broker = InMemoryBroker()
    async with TracedProducer(InMemoryProducer(broker), providers.telemetry("orders")) as producer:
        await producer.send_and_wait("orders", b"v")
    providers.shutdown()


async def test_the_console_is_an_exporter_of_every_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for signal in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "console")
    providers = otlp.configure("payment")
    providers.logger_provider.get_logger("t").emit(LogRecord(body="a log record"))

    await send_one(providers)

    captured = capsys.readouterr()
    printed = captured.out
    assert "send orders · orders PRODUCER" in captured.err
    assert '"name": "messaging.client.operation.duration"' in printed
    assert '"messaging.client.sent.messages"' in printed
    assert '"body": "a log record"' in printed


async def test_a_disabled_sdk_exports_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    for signal in ("TRACES", "METRICS"):
        monkeypatch.setenv(f"OTEL_{signal}_EXPORTER", "console")

    await send_one(otlp.configure("payment"))

    assert "" == capsys.readouterr().out
