"""Where a service's telemetry goes: by OTLP to an endpoint, into memory for the report, or both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import SpanProcessor

from demo_pipeline.runtime.errors import UsageError
from tracing import otlp

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.metrics.export import (
        MetricsData,
    )
    from opentelemetry.sdk.trace import ReadableSpan


class SpanRecorder(SpanProcessor):
    """Keeps every ended span: a bounded queue would drop some, and break traces."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span."""
        self.spans.append(span)


class MetricRecorder(MetricExporter):
    """Keeps the last metrics only, because they are cumulative."""

    def __init__(self) -> None:
        super().__init__()
        self.last: MetricsData | None = None

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - the exporter interface
        **kwargs: Any,  # noqa: ARG002 - the exporter interface
    ) -> MetricExportResult:
        """Replace the metrics."""
        self.last = metrics_data
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - interface
        """Do nothing: there is nothing to flush."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Do nothing: there is nothing to close."""


class _NoLogs(LogRecordProcessor):
    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Drop the record: the console has a handler of its own."""

    def shutdown(self) -> None:
        """Do nothing: there is nothing to close."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - interface
        """Do nothing: there is nothing to flush."""
        return True


@dataclass(frozen=True, slots=True)
class Recording:
    """The spans and metrics of one run, in memory."""

    _spans: SpanRecorder = field(default_factory=SpanRecorder)
    _metrics: dict[str, MetricRecorder] = field(default_factory=dict)

    def providers(self, service: str) -> otlp.Providers:
        """Return a service's providers, which record, and export if an endpoint is set.

        Raises:
            UsageError: The environment asks for an export that is not supported.
        """
        recorder = self._metrics[service] = MetricRecorder()
        providers = _configure(
            service,
            None if otlp.configured("traces") else self._spans,
            None if otlp.configured("metrics") else recorder,
        )
        if otlp.configured("traces"):
            providers.tracer_provider.add_span_processor(self._spans)
        if otlp.configured("metrics"):
            providers.meter_provider.add_metric_reader(PeriodicExportingMetricReader(recorder))
        return providers

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """All spans that have ended, of all services."""
        return tuple(self._spans.spans)

    @property
    def metrics(self) -> tuple[MetricsData, ...]:
        """The last metrics of each service; complete once its providers are shut down."""
        return tuple(recorder.last for recorder in self._metrics.values() if recorder.last)


def exporting_providers(service: str) -> otlp.Providers:
    """Return the providers of a long-running service: nothing is kept in memory.

    Raises:
        UsageError: The environment asks for an export that is not supported.
    """
    return _configure(
        service,
        None if otlp.configured("traces") else SpanProcessor(),
        None if otlp.configured("metrics") else MetricRecorder(),
    )


def _configure(
    service: str, spans: SpanProcessor | None, metrics: MetricExporter | None
) -> otlp.Providers:
    logs = None if otlp.configured("logs") else _NoLogs()
    try:
        return otlp.configure(
            service, span_processor=spans, metric_exporter=metrics, log_processor=logs
        )
    except (ValueError, ImportError) as error:
        raise UsageError(str(error)) from error
