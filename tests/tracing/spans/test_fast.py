"""Light spans behave like the SDK's own, whatever reads them and whenever."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from tracing.headers.w3c import parse_traceparent
from tracing.spans.choose import ApiSpans, span_starter
from tracing.spans.fast import LightSpan, LightSpans
from tracing.spans.starter import SpanStarter

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = parse_traceparent(f"00-{TRACE}-00f067aa0ba902b7-01".encode())
UNSAMPLED = parse_traceparent(f"00-{TRACE}-00f067aa0ba902b7-00".encode())


class Collect(SpanProcessor):
    def __init__(self) -> None:
        self.started: list[tuple[Span, Context | None]] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.started.append((span, parent_context))

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def starter(sampler: Sampler = ALWAYS_ON) -> tuple[SpanStarter, Collect]:
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    collect = Collect()
    provider.add_span_processor(collect)
    return span_starter(provider), collect


def start(spans: SpanStarter, context: Context | None = None) -> trace.Span:
    return spans.start("send t", context or Context(), SpanKind.PRODUCER, {"a": 1})


def test_a_stock_provider_gets_light_spans_and_any_other_uses_the_api() -> None:
    class Own(TracerProvider):
        pass

    class NotTheSdks(trace.TracerProvider):
        def get_tracer(self, *args: object, **kwargs: object) -> trace.Tracer:
            return trace.NoOpTracer()

    assert isinstance(span_starter(TracerProvider(shutdown_on_exit=False)), LightSpans)
    assert isinstance(span_starter(NotTheSdks()), ApiSpans)
    assert isinstance(span_starter(trace.NoOpTracerProvider()), ApiSpans)


def test_with_internal_metrics_of_the_sdk_its_own_spans_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")

    assert isinstance(span_starter(TracerProvider(shutdown_on_exit=False)), ApiSpans)


def test_everything_of_the_span_api_works_on_a_light_span() -> None:
    spans, collect = starter()

    span = start(spans)
    spans.enrich(span, {"b": 2})
    span.set_attribute("c", [1, 2])
    span.add_event("happened", {"x": "y"})
    span.record_exception(ValueError("no"))
    span.update_name("renamed")
    span.set_status(StatusCode.ERROR, "why")
    spans.enrich(span, {"d": 4})
    span.end()

    ended = collect.ended[0]
    assert "renamed" == ended.name
    assert {"a": 1, "b": 2, "c": (1, 2), "d": 4} == dict(ended.attributes or {})
    assert ["happened", "exception"] == [event.name for event in ended.events]
    assert StatusCode.ERROR is ended.status.status_code
    assert '"renamed"' in ended.to_json()


def test_an_ended_light_span_is_readable_and_does_not_change() -> None:
    spans, collect = starter()
    span = start(spans)
    span.end()

    spans.enrich(span, {"late": 1})
    with pytest.raises(TypeError):
        collect.ended[0].attributes["late"] = 1  # type: ignore[index]  # the point of the test

    assert {"a": 1} == dict(collect.ended[0].attributes or {})
    assert not span.is_recording()


def test_ending_twice_reports_once(caplog: pytest.LogCaptureFixture) -> None:
    spans, collect = starter()
    span = start(spans)
    span.end()
    ended = collect.ended[0].end_time

    span.end()

    assert 1 == len(collect.ended)
    assert ended == collect.ended[0].end_time
    assert "ended span" in caplog.text


def test_processors_see_the_start_as_with_the_sdk() -> None:
    class Sets(Collect):
        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            super().on_start(span, parent_context)
            span.set_attribute("from.processor", True)

    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    sets = Sets()
    provider.add_span_processor(sets)
    context = Context({"key": "value"})

    start(span_starter(provider), context).end()

    assert context == sets.started[0][1]
    assert {"a": 1, "from.processor": True} == dict(sets.ended[0].attributes or {})


@pytest.mark.parametrize(
    ("sampler", "parent", "recorded"),
    [
        (ALWAYS_ON, None, True),
        (ALWAYS_ON, UNSAMPLED, True),
        (ALWAYS_OFF, SAMPLED, False),
        (ParentBased(ALWAYS_ON), None, True),
        (ParentBased(ALWAYS_ON), UNSAMPLED, False),
        (ParentBased(ALWAYS_OFF), None, False),
        (ParentBased(ALWAYS_OFF), SAMPLED, True),
        (ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON), UNSAMPLED, True),
        (ParentBased(ALWAYS_OFF, remote_parent_sampled=TraceIdRatioBased(0)), SAMPLED, False),
    ],
)
def test_the_sampler_decides(sampler: Sampler, parent: trace.Span | None, recorded: bool) -> None:
    spans, collect = starter(sampler)
    context = Context() if parent is None else set_span_in_context(parent, Context())

    span = start(spans, context)
    span.end()

    assert recorded == bool(collect.ended)
    assert recorded == span.get_span_context().trace_flags.sampled
    assert span.get_span_context().is_valid
    if parent is not None:
        assert parent.get_span_context().trace_id == span.get_span_context().trace_id


def test_a_samplers_attributes_and_trace_state_are_kept() -> None:
    class MarkingSampler(Sampler):
        def should_sample(self, *_: object, **__: object) -> SamplingResult:
            state = trace.TraceState([("seen", "1")])
            return SamplingResult(Decision.RECORD_AND_SAMPLE, {"sampler": "marks"}, state)

        def get_description(self) -> str:
            return "MarkingSampler"

    spans, collect = starter(MarkingSampler())
    start(spans).end()

    context = collect.ended[0].get_span_context()
    assert {"sampler": "marks"} == dict(collect.ended[0].attributes or {})
    assert context is not None
    assert "1" == context.trace_state.get("seen")


def test_recording_without_sampling_reaches_processors_unsampled() -> None:
    class RecordOnly(Sampler):
        def should_sample(self, *_: object, **__: object) -> SamplingResult:
            return SamplingResult(Decision.RECORD_ONLY)

        def get_description(self) -> str:
            return "RecordOnly"

    spans, collect = starter(RecordOnly())
    span = start(spans)
    span.end()

    assert 1 == len(collect.ended)
    assert not span.get_span_context().trace_flags.sampled


def test_a_dropped_root_is_a_valid_unsampled_context() -> None:
    spans, _ = starter(ParentBased(ALWAYS_OFF))

    roots = [spans.dropped_root() for _ in range(2)]

    spans_read = [parse_traceparent(root) for root in roots]
    contexts = [span.get_span_context() for span in spans_read if span is not None]
    assert [True, True] == [context.is_valid for context in contexts]
    assert not any(context.trace_flags.sampled for context in contexts)
    assert contexts[0].trace_id != contexts[1].trace_id


def test_an_untouched_span_stays_light_until_it_is_read() -> None:
    spans, collect = starter()
    start(spans).end()

    ended = collect.ended[0]
    assert isinstance(ended, LightSpan)
    assert ended.light_parts() is not None
    assert {"a": 1} == dict(ended.attributes or {})
    assert ended.light_parts() is None
