"""The export account counts lost spans and reports the end of an exporter."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from tracing import Telemetry
from tracing.export.account import ExportAccount
from tracing.export.spans import AccountedBatchSpanProcessor, AccountedSpanExporter
from tracing.spans.choose import ApiSpans, span_starter


def test_an_error_of_the_exporter_is_counted_and_still_raised() -> None:
    class Broken(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            raise ConnectionError

    account = ExportAccount()
    with pytest.raises(ConnectionError):
        AccountedSpanExporter(Broken(), account).export([ReadableSpan("s")])
    assert {"span_export": 1} == _losses(account)


@pytest.mark.parametrize(
    ("items", "line"),
    [(1, "1 log record was rejected by the "), (2, "2 log records were rejected by the ")],
)
def test_the_first_loss_is_logged_with_its_count(
    items: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    ExportAccount().lost(items, "logs", "rejected")

    assert caplog.messages[0].startswith(line)


def _losses(account: ExportAccount) -> dict[str, float]:
    """Return the counted lost spans, by reason."""
    keeps = InMemoryMetricReader()
    provider = MeterProvider([keeps])
    account.report_with(Telemetry("orders", meter_provider=provider).metrics)
    data = keeps.get_metrics_data()
    assert data is not None
    return {
        str((point.attributes or {})["reason"]): point.value
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "pipeline.telemetry.dropped"
        for point in metric.data.data_points
        if str((point.attributes or {})["reason"]).startswith("span_")
        and isinstance(point, NumberDataPoint)
        and point.value
    }


class Hangs(SpanExporter):
    """Takes nothing until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()
        self.taken: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.begun.set()
        assert self.released.wait(30)
        self.taken += [span.name for span in spans]
        return SpanExportResult.SUCCESS


@pytest.mark.parametrize("light", [False, True])
def test_spans_dropped_by_a_full_queue_are_counted(
    monkeypatch: pytest.MonkeyPatch, light: bool
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    account, exporter = ExportAccount(), Hangs()
    processor = AccountedBatchSpanProcessor(exporter, account)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    spans = span_starter(provider) if light else ApiSpans(provider.get_tracer("t"))
    recorded_only = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(0))
    for name in "abcd":
        spans.start(name, Context(), SpanKind.PRODUCER, {}).end()
    assert exporter.begun.wait(30)
    for name in "efghijk":
        spans.start(name, Context(), SpanKind.PRODUCER, {}).end()
        processor.on_end(ReadableSpan("not sampled", context=recorded_only))
    exporter.released.set()
    provider.shutdown()

    # The SDK lets the oldest ones go.
    assert [*"abcd", *"hijk"] == exporter.taken
    assert {"span_queue": 3} == _losses(account)


@pytest.mark.parametrize("timed", [False, True])
def test_an_exporter_receives_the_time_limit_of_its_shutdown(timed: bool) -> None:
    stopped: list[float | None] = []

    class Plain(Hangs):
        def shutdown(self) -> None:
            stopped.append(None)

    class Timed(Hangs):
        def shutdown(self, timeout_millis: float = 30_000) -> None:
            stopped.append(timeout_millis)

    exporter = AccountedSpanExporter(Timed() if timed else Plain(), ExportAccount())
    provider = TracerProvider()
    provider.add_span_processor(AccountedBatchSpanProcessor(exporter, ExportAccount()))
    provider.shutdown()
    (seen,) = stopped
    # A little of the 30 s has gone by then.
    assert (seen is not None and 0 < seen < 30_000) if timed else seen is None
