"""Telemetry as OTLP/JSON lines, in the format of the Collector's file exporter."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.exporter.otlp.json.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.trace import ReadableSpan


def trace_lines(spans: Iterable[ReadableSpan]) -> Iterator[str]:
    """Encode spans, one `ExportTraceServiceRequest` for each trace, the oldest trace first.

    With a trace on one line, grep finds it by its id or by an order's id.
    """
    traces: defaultdict[int, list[ReadableSpan]] = defaultdict(list)
    for span in sorted(spans, key=_by_start):
        context = span.get_span_context()
        traces[context.trace_id if context else 0].append(span)
    for trace in traces.values():
        yield _line(encode_spans(trace).to_dict())


def metric_lines(metrics: Iterable[MetricsData]) -> Iterator[str]:
    """Encode metrics, one `ExportMetricsServiceRequest` for each service, by name.

    Points are sorted by their attributes, so that equal runs give equal files.
    """
    by_service: list[tuple[str, str]] = []
    for data in metrics:
        if not data.resource_metrics:
            continue
        request = encode_metrics(data).to_dict()
        for resource in request["resourceMetrics"]:
            for scope in resource.get("scopeMetrics", ()):
                scope.get("metrics", []).sort(key=lambda metric: str(metric.get("name")))
                for metric in scope.get("metrics", ()):
                    _sort_points(metric)
        service = data.resource_metrics[0].resource.attributes.get("service.name")
        by_service.append((str(service), _line(request)))
    return (line for _, line in sorted(by_service))


def _sort_points(metric: dict[str, Any]) -> None:
    for data in metric.values():
        if isinstance(data, dict):
            data.get("dataPoints", []).sort(key=lambda point: _line(point.get("attributes", [])))


def _by_start(span: ReadableSpan) -> tuple[int, int, int]:
    context = span.get_span_context()
    ids = (context.trace_id, context.span_id) if context else (0, 0)
    return (span.start_time or 0, *ids)


def _line(message: object) -> str:
    return json.dumps(message, separators=(",", ":")) + "\n"
