"""A span that nothing can encode does not take the others of its batch with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode

from tests.tracing.export.collectors import REQUESTS, TRACES, Collector
from tracing import Telemetry, otlp
from tracing.testing import Capture

if TYPE_CHECKING:
    import pytest

# As in the message of an error that names a file, where its name is no UTF-8.
HALF: str = b"\xff".decode("utf-8", "surrogateescape")


def _names(bodies: list[bytes]) -> list[str]:
    found: list[str] = []
    for body in bodies:
        request: Any = REQUESTS[TRACES].FromString(body)
        found += [
            span.name
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    return found


def test_the_others_of_its_batch_are_exported_and_it_is_counted(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    telemetry = Telemetry("orders", tracer_provider=provider, meter_provider=capture.meter_provider)
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        provider.add_span_processor(otlp.counting_span_processor(telemetry))
        tracer = provider.get_tracer("application")
        for number in range(5):
            with tracer.start_as_current_span(f"span {number}") as span:
                if number in {1, 3}:
                    span.set_status(Status(StatusCode.ERROR, f"no file {HALF}"))
        provider.force_flush()
        provider.shutdown()

    assert ["span 0", "span 2", "span 4"] == _names(collector.bodies[TRACES])
    lost = {"reason": "span_export"}
    assert 2 == capture.metric("pipeline.telemetry.dropped", lost)


def test_a_batch_without_any_other_span_is_counted_too(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    telemetry = Telemetry("orders", tracer_provider=provider, meter_provider=capture.meter_provider)
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        provider.add_span_processor(otlp.counting_span_processor(telemetry))
        provider.get_tracer("application").start_span(HALF).end()
        provider.force_flush()
        provider.shutdown()

    assert [] == _names(collector.bodies[TRACES])
    assert 1 == capture.metric("pipeline.telemetry.dropped", {"reason": "span_export"})
