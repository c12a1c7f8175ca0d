"""Links to the spans that created messages are made when they are read."""

from __future__ import annotations

import pytest
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

from tracing.export.span_encoding import SpanEncoder
from tracing.spans.choose import span_starter
from tracing.spans.fast import LightSpan
from tracing.spans.message_links import LinkPlan, MessageLinks

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
SAMPLED = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-02"
PLAN = LinkPlan({"partition": "3"}, "offset", {"type": "OrderPlaced"})


def _plain(span_id: int, flags: int) -> Link:
    return Link(SpanContext(TRACE, span_id, is_remote=True, trace_flags=TraceFlags(flags)))


def test_a_link_says_what_was_added() -> None:
    links = MessageLinks()
    links.add(UNSAMPLED, PLAN, 42)
    links.append(_plain(1, 1))

    context = links[0].context
    assert (TRACE, 0xB7AD6B7169203332) == (context.trace_id, context.span_id)
    assert context.is_remote
    assert 2 == context.trace_flags
    assert [("partition", "3"), ("offset", 42), ("type", "OrderPlaced")] == list(
        (links[0].attributes or {}).items()
    )
    assert 1 == links[1].context.span_id
    assert 2 == len(links) == len(list(links)) == len(links[:5])


def test_links_are_made_once() -> None:
    links = MessageLinks()
    links.add(SAMPLED, PLAN, 1)

    assert links[0] is links[0]


def test_another_link_comes_last_and_the_first_links_stay_as_they_are() -> None:
    links = MessageLinks()
    links.add(SAMPLED, PLAN, 1)

    more = links.followed_by(_plain(5, 1))

    assert [0xB7AD6B7169203331, 5] == [link.context.span_id for link in more]
    assert 1 == len(links)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [([0, 1, 3], 1), ([0, 2], 0), ([], None)],
)
def test_the_first_sampled_link_decides_or_else_the_first_one(
    flags: list[int], expected: int | None
) -> None:
    plain, from_headers = MessageLinks(), MessageLinks()
    for span_id, each in enumerate(flags, 1):
        plain.append(_plain(span_id, each))
        from_headers.add(b"00-%032x-%016x-%02x" % (TRACE, span_id, each), PLAN, span_id)

    decided = None if expected is None else expected + 1
    for links in (plain, from_headers):
        deciding = links.deciding()
        assert decided == (deciding and deciding.span_id)


def test_a_light_span_keeps_them_as_they_are_until_it_is_read() -> None:
    starter = span_starter(TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False))
    links = MessageLinks()
    links.add(SAMPLED, PLAN, 1)
    span = starter.start("poll t", Context(), SpanKind.CLIENT, {})
    assert isinstance(span, LightSpan)

    starter.link(span, links)
    span.end()

    parts = span.light_parts()
    assert parts is not None
    assert links is parts[2]
    assert list(links) == list(span.links)
    assert dict(links[0].attributes or {}) == dict(span.links[0].attributes or {})


def test_an_sdk_span_has_them_too() -> None:
    tracer = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False).get_tracer("t")
    links = MessageLinks()
    links.add(SAMPLED, PLAN, 1)

    span = tracer.start_span("poll t", links=links)

    assert isinstance(span, ReadableSpan)
    assert [links[0].context] == [link.context for link in span.links]


def test_an_exporter_writes_them_as_the_sdk_does() -> None:
    starter = span_starter(TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False))
    links = MessageLinks()
    links.add(SAMPLED, PLAN, 1)
    links.add(UNSAMPLED, PLAN, 1 << 40)
    links.append(_plain(7, 1))
    links.add(UNSAMPLED, LinkPlan({}, "offset", {}), 0)
    span = starter.start("poll t", Context(), SpanKind.CLIENT, {"a": "b"}, links)
    assert isinstance(span, LightSpan)
    span.end()

    written = ExportTraceServiceRequest.FromString(SpanEncoder().encode([span]))

    assert span.light_parts() is not None, "it was read"
    assert encode_spans([span]) == written
