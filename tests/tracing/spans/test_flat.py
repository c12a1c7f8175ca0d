"""Flat spans are the same for whatever reads them as the spans of the SDK's class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from tracing.core.otlp_wire import DoubleAttribute, IntAttribute, TextAttribute
from tracing.spans.choose import span_starter
from tracing.spans.flat import FlatSpan, FlatSpans, SpanPlan

if TYPE_CHECKING:
    from tracing.core.semconv import AttributeValue

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PLAN = SpanPlan("process t", SpanKind.CONSUMER, {"messaging.system": "kafka", "port": 9092})

_ID, _OFFSET, _LAG = TextAttribute("id"), IntAttribute("offset"), DoubleAttribute("lag")


class Probe(FlatSpan):
    __slots__ = ("lag", "message_id", "offset")

    own_names = frozenset({"id", "offset", "lag"})
    message_id: bytes
    offset: int
    lag: float | None

    def own_attributes(self) -> dict[str, AttributeValue]:
        return {"id": self.message_id.decode(), "offset": self.offset}

    def end_attributes(self) -> dict[str, AttributeValue]:
        return {} if self.lag is None else {"lag": self.lag}

    def encode_own(self, fields: list[bytes]) -> None:
        _ID.append(fields, self.message_id)
        _OFFSET.append(fields, self.offset)

    def encode_end(self, fields: list[bytes]) -> None:
        if self.lag is not None:
            _LAG.append(fields, self.lag)


class Collect(SpanProcessor):
    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def flat_spans() -> tuple[FlatSpans, Collect]:
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    collect = Collect()
    provider.add_span_processor(collect)
    spans = FlatSpans.of(span_starter(provider))
    assert spans is not None
    return spans, collect


def started(spans: FlatSpans, above: bytes | None = PARENT) -> Probe:
    span: Probe = object.__new__(spans.kind(Probe))
    span.plan = PLAN
    traceparent = spans.root() if above is None else spans.child(above)
    assert traceparent is not None
    span.traceparent = traceparent
    span.above = above
    span.above_is_remote = True
    span.start_ns = 1_000
    span.end_ns = None
    span.added = None
    span.message_id = b"e-1"
    span.offset = 7
    span.lag = None
    return span


def test_a_flat_span_is_a_span_of_the_sdks_class_with_everything_on_it() -> None:
    spans, collect = flat_spans()
    span = started(spans)
    span.lag = 0.5
    span.finish(2_000)

    (ended,) = collect.ended
    context, parent = ended.get_span_context(), ended.parent
    assert isinstance(ended, Span)
    assert context is not None
    assert parent is not None
    assert ("process t", SpanKind.CONSUMER) == (ended.name, ended.kind)
    assert (1_000, 2_000) == (ended.start_time, ended.end_time)
    assert 0x4BF92F3577B34DA6A3CE929D0E0E4736 == context.trace_id == parent.trace_id
    assert 0x00F067AA0BA902B7 == parent.span_id != context.span_id
    assert (False, True) == (context.is_remote, parent.is_remote)
    assert context.trace_flags.sampled
    assert [*PLAN.attributes.items(), ("id", "e-1"), ("offset", 7), ("lag", 0.5)] == list(
        (ended.attributes or {}).items()
    )
    assert StatusCode.UNSET is ended.status.status_code
    assert '"process t"' in ended.to_json()


def test_a_root_has_no_parent_and_ids_of_its_own() -> None:
    spans, collect = flat_spans()
    for _ in range(2):
        started(spans, None).finish(2_000)

    contexts = [ended.get_span_context() for ended in collect.ended]
    assert [None, None] == [ended.parent for ended in collect.ended]
    assert 2 == len({context.trace_id for context in contexts if context is not None})


@pytest.mark.parametrize(("above", "own"), [(b"01", b"01"), (b"03", b"03"), (b"ff", b"03")])
def test_a_child_is_sampled_and_as_random_as_its_trace(above: bytes, own: bytes) -> None:
    spans, _ = flat_spans()
    assert own == (spans.child(PARENT[:53] + above) or b"")[53:]


def test_what_the_application_sets_comes_before_what_is_known_at_the_end() -> None:
    spans, collect = flat_spans()
    span = started(spans)
    span.set_attribute("user", "u")
    span.update_name("renamed")
    span.lag = 0.5
    span.finish(2_000)

    (ended,) = collect.ended
    assert "renamed" == ended.name
    assert ["id", "offset", "user", "lag"] == list(ended.attributes or {})[2:]


def test_the_applications_end_comes_first(caplog: pytest.LogCaptureFixture) -> None:
    spans, collect = flat_spans()
    span = started(spans)
    span.end(1_500)
    span.finish(2_000)

    (ended,) = collect.ended
    assert 1_500 == ended.end_time
    assert "ended span" in caplog.text


def test_there_are_no_flat_spans_where_they_would_not_be_equal() -> None:
    class OwnIds(RandomIdGenerator):
        pass

    def spans_of(**options: object) -> FlatSpans | None:
        return FlatSpans.of(span_starter(TracerProvider(shutdown_on_exit=False, **options)))  # type: ignore[arg-type]

    ratio = spans_of(sampler=ParentBased(TraceIdRatioBased(0.5)))
    assert ratio is not None
    assert (None, True, True) == (ratio.samples_roots, ratio.samples_remote, ratio.samples_local)
    assert spans_of(id_generator=OwnIds()) is None
    assert FlatSpans.of(span_starter(TracerProvider(shutdown_on_exit=False), fast=False)) is None


def test_contexts_are_read_in_mid_life_without_making_the_span_whole() -> None:
    spans, collect = flat_spans()
    span = started(spans)
    context = span.get_span_context()
    span.finish(2_000)

    assert context is collect.ended[0].get_span_context()
    assert span.light_parts() is not None
