"""Exporters that end nowhere: what they are given is encoded, or not, and thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class EncodingSpanExporter(SpanExporter):
    """Encodes spans as OTLP/protobuf, as the real exporter does before it sends them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode and throw away."""
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


class NullMetricExporter(MetricExporter):
    """Throws metrics away."""

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Throw away."""
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Hold nothing back."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Hold nothing back."""


def span_processor(*, encoded: bool) -> SpanProcessor:
    """Make a processor that exports by encoding in batches, or one that drops ended spans."""
    return BatchSpanProcessor(EncodingSpanExporter()) if encoded else SpanProcessor()
