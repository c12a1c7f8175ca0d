"""Light spans are encoded to the same message as by the SDK's encoder."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from tracing.core.semconv import AttributeValue
from tracing.export.span_encoding import SpanEncoder
from tracing.headers.w3c import parse_traceparent
from tracing.spans.choose import span_starter
from tracing.spans.fast import LightSpan, LightSpans

REMOTE = parse_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", b"a=b")
VALUES: st.SearchStrategy[AttributeValue] = st.one_of(
    st.text(max_size=200),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
)
NAMES = st.text(min_size=1, max_size=30)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.integers(0, 3).map(TraceFlags),
    st.sampled_from([TraceState(), TraceState([("vendor", "x")])]),
)


class Ended(SpanProcessor):
    """Keeps ended spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class Pipeline:
    """A light span starter and what it ended."""

    def __init__(self, limits: SpanLimits | None = None) -> None:
        self.ended = Ended()
        self.provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": "s"}, "https://example.com/schema"),
            span_limits=limits,
            shutdown_on_exit=False,
        )
        self.provider.add_span_processor(self.ended)
        self.spans = span_starter(self.provider)


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


def same(spans: Sequence[ReadableSpan]) -> None:
    """Compare before the SDK's encoder makes the spans whole."""
    light = SpanEncoder().encode(spans)
    assert encode_spans(spans) == ExportTraceServiceRequest.FromString(light)


def test_light_spans_are_used_with_a_stock_provider(pipeline: Pipeline) -> None:
    assert isinstance(pipeline.spans, LightSpans)


@given(
    shared=st.dictionaries(NAMES, VALUES, max_size=8),
    added=st.dictionaries(NAMES, VALUES, max_size=8),
    links=st.lists(st.builds(Link, CONTEXTS, st.dictionaries(NAMES, VALUES, max_size=3))),
    kind=st.sampled_from(SpanKind),
    remote=st.booleans(),
)
def test_any_span_is_encoded_as_the_sdk_does(
    shared: dict[str, AttributeValue],
    added: dict[str, AttributeValue],
    links: list[Link],
    kind: SpanKind,
    remote: bool,
) -> None:
    pipeline = Pipeline()
    assert REMOTE is not None
    context = set_span_in_context(REMOTE, Context()) if remote else Context()
    span = pipeline.spans.start("send ü", context, kind, shared, tuple(links))
    pipeline.spans.enrich(span, dict(added))
    span.end()

    same(pipeline.ended.spans)


def test_modified_failed_and_light_spans_share_a_batch(pipeline: Pipeline) -> None:
    shared: dict[str, AttributeValue] = {"messaging.system.name": "kafka"}
    for number in range(4):
        span = pipeline.spans.start("process t", Context(), SpanKind.CONSUMER, shared)
        pipeline.spans.enrich(span, {"kafka.offset": number})
        if number == 1:
            span.set_attribute("user", b"value")
        if number == 2:
            span.set_status(StatusCode.ERROR)
            assert isinstance(span, LightSpan)
            # Whatever reads a span makes it whole.
            assert span.attributes
        span.end()
    light = [
        isinstance(span, LightSpan) and bool(span.light_parts()) for span in pipeline.ended.spans
    ]
    encoder = SpanEncoder()
    decoded = ExportTraceServiceRequest.FromString(encoder.encode(pipeline.ended.spans))

    assert 2 == encoder.left_to_sdk
    assert light == [True, False, False, True]
    found = [
        span
        for resource in decoded.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert sorted(
        span.span_id
        for resource in encode_spans(pipeline.ended.spans).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ) == sorted(span.span_id for span in found)


def test_spans_with_limits_are_left_to_the_sdk() -> None:
    pipeline = Pipeline(SpanLimits(max_span_attribute_length=3))
    span = pipeline.spans.start("send t", Context(), SpanKind.PRODUCER, {"a": "too long"})
    span.end()

    same(pipeline.ended.spans)


def test_an_attribute_set_later_replaces_the_shared_one(pipeline: Pipeline) -> None:
    span = pipeline.spans.start("send t", Context(), SpanKind.PRODUCER, {"a": "old", "b": "b"})
    pipeline.spans.enrich(span, {"a": "new"})
    span.end()

    same(pipeline.ended.spans)
    assert dict(pipeline.ended.spans[0].attributes or {}) == {"a": "new", "b": "b"}
