"""Exporters that encode telemetry, or not, and then discard it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, NumberDataPoint
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan


class EncodingSpanExporter(SpanExporter):
    """Encodes spans as OTLP/protobuf, like the real exporter, and discards them."""

    def __init__(self, encode: Callable[[Sequence[ReadableSpan]], object]) -> None:
        self._encode = encode

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode the spans, and discard the result."""
        self._encode(spans)
        return SpanExportResult.SUCCESS


def sdk_encoder() -> Callable[[Sequence[ReadableSpan]], object]:
    """Return the encoder of the SDK's own exporter."""
    return lambda spans: encode_spans(spans).SerializeToString()


def light_span_processor(*, encoded: bool) -> SpanProcessor:
    """Make the batch processor of `tracing.otlp.configure`, or one that drops spans."""
    if not encoded:
        return SpanProcessor()
    from tracing.export.account import ExportAccount  # noqa: PLC0415 - only one variant loads it
    from tracing.export.spans import (  # noqa: PLC0415 - as above
        AccountedBatchSpanProcessor,
        AccountedSpanExporter,
    )

    account = ExportAccount()
    exporter = AccountedSpanExporter(EncodingSpanExporter(light_encoder()), account)
    return AccountedBatchSpanProcessor(exporter, account)


def light_encoder() -> Callable[[Sequence[ReadableSpan]], object]:
    """Return the encoder that `tracing.otlp.configure` uses."""
    from tracing.export.span_encoding import SpanEncoder  # noqa: PLC0415 - only one variant loads it

    return SpanEncoder().encode


class NullMetricExporter(MetricExporter):
    """Discards metrics, except for the number of dropped telemetry."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - nothing takes time
        **_options: Any,
    ) -> MetricExportResult:
        """Keep the number of dropped telemetry, and discard everything else."""
        self.dropped = sum(
            int(point.value)
            for resource in metrics_data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "pipeline.telemetry.dropped"
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
            # Spans of large batches have links to some messages only, on purpose.
            if (point.attributes or {}).get("reason") != "links"
        )
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - as above
        """Do nothing: there is nothing to flush."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_options: Any) -> None:
        """Do nothing: there is nothing to close."""


def span_processor(
    encode: Callable[[Sequence[ReadableSpan]], object] | None,
) -> SpanProcessor:
    """Make a processor that encodes spans in batches, or one that drops them."""
    return SpanProcessor() if encode is None else BatchSpanProcessor(EncodingSpanExporter(encode))
