from __future__ import annotations

import logging

import pytest

from demo_pipeline.app.logs import LogLevels, console_logs
from demo_pipeline.app.recording import Recording, exporting_providers
from demo_pipeline.runtime.errors import UsageError


def test_spans_and_metrics_of_all_services_are_kept_in_memory() -> None:
    recording = Recording()
    for service in ("orders", "payment"):
        providers = recording.providers(service)
        with providers.tracer_provider.get_tracer("test").start_as_current_span("work"):
            providers.meter_provider.get_meter("test").create_counter("work").add(1)
        providers.shutdown()
    assert ["orders", "payment"] == [
        span.resource.attributes["service.name"] for span in recording.spans
    ]
    assert ["orders", "payment"] == [
        data.resource_metrics[0].resource.attributes["service.name"] for data in recording.metrics
    ]


def test_no_span_is_dropped_however_many_there_are() -> None:
    recording = Recording()
    providers = recording.providers("orders")
    tracer = providers.tracer_provider.get_tracer("test")
    for _ in range(5_000):
        tracer.start_span("work").end()
    providers.shutdown()
    assert 5_000 == len(recording.spans)


def test_an_export_that_is_not_supported_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon")
    with pytest.raises(UsageError, match="pigeon"):
        Recording().providers("orders")


def test_a_long_running_service_keeps_no_spans() -> None:
    providers = exporting_providers("orders")
    with providers.tracer_provider.get_tracer("test").start_as_current_span("work") as span:
        assert span.is_recording()
    providers.shutdown()


def test_console_lines_carry_the_ids_of_the_work_they_belong_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    providers = exporting_providers("orders")
    logger = logging.getLogger("demo_pipeline.orders")
    with console_logs(LogLevels()):
        logger.warning("outside")
        logger.info("too quiet")
        with providers.tracer_provider.get_tracer("test").start_as_current_span("work") as span:
            logger.warning("inside")
    providers.shutdown()
    outside, inside = capsys.readouterr().err.splitlines()
    assert "WARNING demo_pipeline.orders: outside" == outside
    assert f"inside [trace {span.get_span_context().trace_id:032x} span " in inside
