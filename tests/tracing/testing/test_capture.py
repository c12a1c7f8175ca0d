"""Telemetry kept in memory, and how tests read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tracing.testing import Capture, HistogramValue

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture("inventory") as capture:
        yield capture


def end_span(capture: Capture, name: str) -> None:
    capture.tracer_provider.get_tracer("test").start_span(name).end()


def log(capture: Capture, body: str) -> None:
    capture.logger_provider.get_logger("test").emit(
        LogRecord(body=body, severity_number=SeverityNumber.WARN)
    )


def test_spans_are_kept_in_the_order_in_which_they_ended(capture: Capture) -> None:
    tracer = capture.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
        assert () == capture.spans()

    assert ("inner", "outer") == tuple(span.name for span in capture.spans())


def test_everything_carries_the_service_name(capture: Capture) -> None:
    end_span(capture, "work")
    log(capture, "hello")
    (span,), (record,) = capture.spans(), capture.log_records()

    assert "inventory" == span.resource.attributes["service.name"]
    assert "inventory" == record.resource.attributes["service.name"]


def test_log_records_are_kept_in_order(capture: Capture) -> None:
    log(capture, "first")
    log(capture, "second")

    assert ["first", "second"] == [record.log_record.body for record in capture.log_records()]


def test_the_sampler_decides_what_is_kept() -> None:
    with Capture(sampler=ALWAYS_OFF) as capture:
        end_span(capture, "work")

        assert () == capture.spans()


def test_a_counter_is_summed_over_the_series_that_match(capture: Capture) -> None:
    counter = capture.meter_provider.get_meter("test").create_counter("sent")
    counter.add(1, {"messaging.destination.name": "orders", "partition": "0"})
    counter.add(2, {"messaging.destination.name": "orders", "partition": "1"})
    counter.add(4, {"messaging.destination.name": "payments", "partition": "0"})

    assert 7 == capture.metric("sent")
    assert 3 == capture.metric("sent", {"messaging.destination.name": "orders"})
    assert 4 == capture.metric("sent", {"messaging.destination.name": "payments", "partition": "0"})


def test_a_histogram_returns_count_and_sum(capture: Capture) -> None:
    histogram = capture.meter_provider.get_meter("test").create_histogram("duration")
    histogram.record(0.5, {"topic": "orders"})
    histogram.record(0.25, {"topic": "orders"})
    histogram.record(8, {"topic": "payments"})

    assert HistogramValue(count=2, sum=0.75) == capture.metric("duration", {"topic": "orders"})
    assert HistogramValue(count=3, sum=8.75) == capture.metric("duration")


def test_a_missing_instrument_or_series_is_none(capture: Capture) -> None:
    capture.meter_provider.get_meter("test").create_counter("sent").add(1, {"topic": "orders"})

    assert capture.metric("received") is None
    assert capture.metric("sent", {"topic": "payments"}) is None


def test_clear_drops_everything_and_instruments_count_on_from_zero(capture: Capture) -> None:
    meter = capture.meter_provider.get_meter("test")
    counter, histogram = meter.create_counter("sent"), meter.create_histogram("duration")
    gauge = meter.create_gauge("lag")
    counter.add(5)
    histogram.record(2)
    gauge.set(9)
    end_span(capture, "before")
    log(capture, "before")

    capture.clear()

    assert () == capture.spans()
    assert () == capture.log_records()
    assert 0 == capture.metric("sent")
    counter.add(2)
    histogram.record(0.5)
    end_span(capture, "after")
    assert 2 == capture.metric("sent")
    assert HistogramValue(1, 0.5) == capture.metric("duration")
    assert 9 == capture.metric("lag")
    assert "after INTERNAL" == capture.tree()


def test_no_global_is_touched() -> None:
    providers = trace.get_tracer_provider(), metrics.get_meter_provider()

    with Capture():
        assert providers == (trace.get_tracer_provider(), metrics.get_meter_provider())


def test_spans_and_logs_stay_readable_after_shutdown() -> None:
    with Capture() as capture:
        end_span(capture, "work")
        log(capture, "hello")

    end_span(capture, "too late")

    assert ("work",) == tuple(span.name for span in capture.spans())
    assert 1 == len(capture.log_records())
