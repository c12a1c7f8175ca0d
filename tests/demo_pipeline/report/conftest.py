"""Fixtures of the report's tests."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource

from demo_pipeline.report import RunResult
from tests.demo_pipeline.report.recording import Recorder
from tests.demo_pipeline.report.saga_recording import (
    completed_order,
    ended,
    refused_order,
    reported,
)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def collect_metrics() -> Callable[[str], MetricsData]:
    """Return metrics of a few messages of a service."""

    def collect(service: str) -> MetricsData:
        reader = InMemoryMetricReader()
        provider = MeterProvider(
            [reader], resource=Resource({"service.name": service}), shutdown_on_exit=False
        )
        meter = provider.get_meter("test")
        sent = meter.create_counter("messaging.client.sent.messages", "{message}")
        sent.add(2, {"messaging.destination.name": "b"})
        sent.add(0, {"messaging.destination.name": "a"})
        meter.create_histogram("messaging.process.duration", "s").record(0.25)
        data = reader.get_metrics_data()
        provider.shutdown()
        assert data is not None
        return data

    return collect


@pytest.fixture
def mixed_sagas(recorder: Recorder) -> RunResult:
    """Return a completed and a compensated order; counters report further ones."""
    completed_order(recorder, "fine")
    refused_order(recorder, "undone", 5)
    counts = reported(
        "orders",
        ("started", 1204, {}),
        ended("completed", 1200),
        ended("compensated", 1),
        ended("failed", 1),
        ("active", 2, {"state": "running"}),
        ("overdue", 1, {}),
    )
    return replace(recorder.result("fine", "undone"), metrics=(counts,))
