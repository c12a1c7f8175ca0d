"""What spans and metrics do against the semantic conventions, one line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum
from opentelemetry.trace import SpanKind, StatusCode

from tests.semconv import model
from tracing.core import semconv
from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from tracing.metrics.metric import Metric as CatalogMetric

_TYPES: Final = {"string": str, "int": int, "double": float, "boolean": bool}
_HTTP_SCOPE: Final = "opentelemetry.instrumentation.asgi"
_HTTP_CLIENT_SCOPE: Final = "opentelemetry.instrumentation.httpx"
_SCOPES: Final = frozenset({semconv.SCOPE_NAME, "demo_pipeline"})
# The stable HTTP conventions; later versions have not renamed anything.
_HTTP_SCHEMAS: Final = frozenset({"https://opentelemetry.io/schemas/1.21.0", model.SCHEMA_URL})
_OWN: Final = frozenset(
    value
    for value in vars(semconv).values()
    if isinstance(value, str) and "." in value and value.partition(".")[0] not in model.NAMESPACES
)
_CATALOG: Final = {metric.name: metric for metric in catalog.METRICS}
_OWN_LABELS: Final = frozenset(
    label
    for metric in catalog.METRICS
    for label in metric.labels
    if label.partition(".")[0] not in model.NAMESPACES
)


def span_violations(spans: Iterable[ReadableSpan]) -> list[str]:
    """Return what is wrong with spans; the same fault of many spans counts once."""
    return _unique(f"{span.name}: {fault}" for span in spans for fault in _span(span))


def metric_violations(data: Iterable[MetricsData]) -> list[str]:
    """Return what is wrong with metrics."""
    return _unique(
        f"{metric.name}: {fault}"
        for each in data
        for resource in each.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for fault in (
            *_attributes(resource.resource.attributes, frozenset()),
            *_scope(scope.scope.name, scope.scope.schema_url),
            *_metric(metric),
        )
    )


def catalog_violations(metrics: Iterable[CatalogMetric]) -> list[str]:
    """Return what is wrong with metrics as the catalogue defines them."""
    return _unique(
        f"{metric.name}: {fault}"
        for metric in metrics
        for fault in (
            *_instrument(metric.name, metric.kind, metric.unit),
            *(fault for label in metric.labels for fault in _name(label, _OWN_LABELS)),
        )
    )


def _unique(faults: Iterable[str]) -> list[str]:
    return sorted(set(faults))


def _span(span: ReadableSpan) -> Iterator[str]:
    attributes = span.attributes or {}
    scope = span.instrumentation_scope
    yield from _scope(scope.name if scope else "", scope.schema_url if scope else "")
    yield from _attributes(span.resource.attributes, frozenset())
    yield from _attributes(attributes, _OWN)
    for event in span.events:
        if not event.name.startswith("pipeline."):
            yield f"event {event.name} is not ours"
        yield from _attributes(event.attributes or {}, _OWN)
    for link in span.links:
        yield from _attributes(link.attributes or {}, _OWN)
    failed = span.status.status_code is StatusCode.ERROR
    if failed != ("error.type" in attributes):
        yield f"error.type with the status {span.status.status_code.name}"
    if "server.port" in attributes and "server.address" not in attributes:
        yield "server.port without server.address"
    if scope is not None and scope.name in _HTTP_SPANS:
        yield from _HTTP_SPANS[scope.name](span, attributes)
    elif "messaging.operation.name" in attributes:
        yield from _messaging_span(span, attributes)
    elif any(name.startswith(("messaging.", "kafka.")) for name in attributes):
        yield "attributes of messages on a span of no messaging operation"
    elif span.kind is not SpanKind.INTERNAL:
        yield f"kind {span.kind.name} without an operation"


def _http_span(span: ReadableSpan, attributes: Mapping[str, object]) -> Iterator[str]:
    yield from _required(attributes, {*model.HTTP_REQUIRED, "url.path"})
    if span.kind is not SpanKind.SERVER:
        yield f"kind {span.kind.name}"
    method, route = attributes.get("http.request.method"), attributes.get("http.route")
    shown = "HTTP" if method == "_OTHER" else str(method)
    if span.name != (f"{shown} {route}" if route else shown):
        yield "the name is not method and route"


def _http_client_span(span: ReadableSpan, attributes: Mapping[str, object]) -> Iterator[str]:
    yield from _required(attributes, {*model.HTTP_CLIENT_REQUIRED, "url.full"})
    if span.kind is not SpanKind.CLIENT:
        yield f"kind {span.kind.name}"
    template = attributes.get("url.template")
    method = str(attributes.get("http.request.method"))
    if span.name != (f"{method} {template}" if template else method):
        yield "the name is not method and template"


_HTTP_SPANS: Final = {_HTTP_SCOPE: _http_span, _HTTP_CLIENT_SCOPE: _http_client_span}


def _messaging_span(span: ReadableSpan, attributes: Mapping[str, object]) -> Iterator[str]:
    yield from _required(attributes, {*model.MESSAGING_REQUIRED, "messaging.operation.type"})
    type_ = str(attributes.get("messaging.operation.type"))
    if span.kind.name not in model.KINDS.get(type_, ()):
        yield f"kind {span.kind.name} for the type {type_}"
    operation = str(attributes["messaging.operation.name"])
    destination = attributes.get("messaging.destination.name")
    if span.name != (f"{operation} {destination}" if destination else operation):
        yield "the name is not operation and destination"
    count = attributes.get("messaging.batch.message_count")
    if destination is None and type_ != "settle" and count is None:
        yield "messaging.destination.name is missing"
    if type_ in model.READER_TYPES:
        yield from _required(attributes, {"messaging.consumer.group.name"})
    if type_ == "receive":
        yield from _required(attributes, {"messaging.batch.message_count"})
    if attributes.get("kafka.message.tombstone", True) is not True:
        yield "kafka.message.tombstone where it is false"


def _metric(metric: Metric) -> Iterator[str]:
    yield from _instrument(metric.name, _kind(metric), metric.unit or "")
    ours = _CATALOG.get(metric.name)
    own = frozenset(ours.labels) & _OWN_LABELS if ours else frozenset()
    for point in metric.data.data_points:
        labels = point.attributes or {}
        yield from _attributes(labels, own)
        if metric.name.startswith("messaging."):
            yield from _required(labels, model.MESSAGING_REQUIRED)
        if metric.name.startswith("http.server."):
            yield from _required(labels, model.HTTP_REQUIRED)
        if metric.name.startswith("http.client."):
            yield from _required(labels, model.HTTP_CLIENT_REQUIRED)


def _kind(metric: Metric) -> str:
    if isinstance(metric.data, Histogram):
        return "histogram"
    if isinstance(metric.data, Sum):
        return "counter" if metric.data.is_monotonic else "updowncounter"
    assert isinstance(metric.data, Gauge)
    return "gauge"


def _instrument(name: str, kind: str, unit: str) -> Iterator[str]:
    if name.startswith("pipeline."):
        metric = _CATALOG.get(name)
        known = None if metric is None else [metric.kind, metric.unit]
    else:
        known = model.METRICS.get(name)
    if known is None:
        yield "no such metric"
    elif known != [kind, unit]:
        yield f"a {kind} in {unit}, not a {known[0]} in {known[1]}"


def _scope(name: str, schema_url: str | None) -> Iterator[str]:
    if name in _HTTP_SPANS:
        if schema_url not in _HTTP_SCHEMAS:
            yield f"schema {schema_url}"
    elif name not in _SCOPES:
        yield f"scope {name}"
    elif schema_url != model.SCHEMA_URL:
        yield f"schema {schema_url}"


def _required(attributes: Mapping[str, object], names: Iterable[str]) -> Iterator[str]:
    for name in sorted(names):
        if name not in attributes:
            yield f"{name} is missing"


def _attributes(attributes: Mapping[str, Any], own: frozenset[str]) -> Iterator[str]:
    for name, value in attributes.items():
        yield from _name(name, own)
        type_ = model.ATTRIBUTES.get(name)
        if isinstance(type_, list):
            if not isinstance(value, str):
                yield f"{name} is a {type(value).__name__}"
            elif value not in type_ and name not in model.OPEN:
                yield f"{name} is {value}, which is no member"
        elif type_ in _TYPES and type(value) is not _TYPES[type_]:
            yield f"{name} is a {type(value).__name__}, not {type_}"


def _name(name: str, own: frozenset[str]) -> Iterator[str]:
    if name in model.DEPRECATED:
        yield f"{name} is deprecated"
    elif own is _OWN and name.startswith(f"{semconv.RESOURCE_WAIT}."):
        # Ends with the name of a resource.
        return
    elif name not in model.ATTRIBUTES and name not in own:
        yield f"{name} is in neither the conventions nor ours"
