"""Which durations can be aggregated locally under the SDK's settings, found by asking the SDK.

Views, the exporter's preferred aggregation, `OTEL_METRICS_EXEMPLAR_FILTER` and others change what
the SDK makes of a histogram. Local aggregation gives explicit buckets, with or without exemplars
of sampled spans. So a probe records a few values with an SDK that has the same settings: a
histogram that comes out as the local one would can be aggregated locally, any other cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from tracing.core import semconv
from tracing.core.log import warn_once
from tracing.metrics import catalog
from tracing.metrics.instruments import histogram_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import Metric as SdkMetric
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.metrics.view import View

    from tracing.metrics.metric import Metric

_HISTOGRAMS: Final = tuple(metric for metric in catalog.METRICS if metric.kind == "histogram")
_SAMPLED: Final = set_span_in_context(
    NonRecordingSpan(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1))), Context()
)
_UNSAMPLED: Final = set_span_in_context(
    NonRecordingSpan(SpanContext(2, 2, is_remote=False, trace_flags=TraceFlags(0))), Context()
)
_NO_EXEMPLARS: Final[list[int]] = []
_OF_SAMPLED_SPANS: Final = [1]


@dataclass(frozen=True, slots=True)
class LocalDurations:
    """What local aggregation can do under the settings.

    Attributes:
        by_the_sdk: The names of the histograms that the SDK has to aggregate.
        exemplars: Whether the other ones have exemplars of sampled spans.
    """

    by_the_sdk: frozenset[str]
    exemplars: bool


def local_durations(exporters: Sequence[MetricExporter], views: Sequence[View]) -> LocalDurations:
    """Return which durations can be aggregated locally.

    For several exporters, the SDK aggregates all: each needs extremes of its own intervals.

    Args:
        exporters: Where they go; their preferences count.
        views: The views of the meter provider.
    """
    if not exporters:
        return LocalDurations(frozenset(), exemplars=True)
    if len(exporters) > 1:
        return LocalDurations(frozenset(metric.name for metric in _HISTOGRAMS), exemplars=False)
    (exporter,) = exporters
    found = {metric.name: _exemplars_of(metric, exporter, views) for metric in _HISTOGRAMS}
    exemplars = _OF_SAMPLED_SPANS in found.values()
    expected = _OF_SAMPLED_SPANS if exemplars else _NO_EXEMPLARS
    return LocalDurations(
        frozenset(name for name, trace_ids in found.items() if trace_ids != expected), exemplars
    )


def _exemplars_of(
    metric: Metric, exporter: MetricExporter, views: Sequence[View]
) -> list[int] | None:
    """Return the trace ids of a histogram's exemplars; `None` if only the SDK can make it."""
    try:
        return _exemplars(metric, _probe(metric, exporter, views))
    except Exception as error:
        warn_once("the SDK's settings cannot be tried; it aggregates durations", error=error)
        return None


def _probe(metric: Metric, exporter: MetricExporter, views: Sequence[View]) -> list[SdkMetric]:
    """Record two values, the first one in a sampled span; return what the SDK makes of them."""
    reader = InMemoryMetricReader(
        preferred_temporality=getattr(exporter, "_preferred_temporality", None),
        preferred_aggregation=getattr(exporter, "_preferred_aggregation", None),
    )
    provider = MeterProvider(
        [reader], resource=Resource.get_empty(), views=views, shutdown_on_exit=False
    )
    try:
        meter = provider.get_meter(
            semconv.SCOPE_NAME, semconv.SCOPE_VERSION, schema_url=semconv.SCHEMA_URL
        )
        instrument = histogram_on(meter, metric)
        instrument.record(metric.buckets[0], _labels(metric), _SAMPLED)
        instrument.record(metric.buckets[-1], _labels(metric), _UNSAMPLED)
        data = reader.get_metrics_data()
    finally:
        provider.shutdown()
    return [
        stream
        for resource in ([] if data is None else data.resource_metrics)
        for scope in resource.scope_metrics
        for stream in scope.metrics
    ]


def _exemplars(metric: Metric, streams: Sequence[SdkMetric]) -> list[int] | None:
    """Return the trace ids of the exemplars; `None` if it is not the histogram of the catalogue."""
    if len(streams) != 1:
        return None
    (stream,) = streams
    if not isinstance(stream.data, Histogram) or len(stream.data.data_points) != 1:
        return None
    (point,) = stream.data.data_points
    made = (stream.name, stream.unit, stream.description, dict(point.attributes or {}))
    extremes = (point.min, point.max)
    if (
        made != (metric.name, metric.unit, metric.description, _labels(metric))
        or extremes != (metric.buckets[0], metric.buckets[-1])
        or tuple(point.explicit_bounds) != metric.buckets
    ):
        return None
    exemplars = sorted(point.exemplars, key=lambda exemplar: exemplar.value)
    return [exemplar.trace_id or 0 for exemplar in exemplars]


def _labels(metric: Metric) -> dict[str, str]:
    return dict.fromkeys(metric.labels, "probe")
