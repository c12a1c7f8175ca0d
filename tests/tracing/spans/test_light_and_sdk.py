"""Whatever is done to a light or a flat span gives what the SDK gives: a property test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from tests.tracing.spans.span_changes import LINK, Change, changes, ends, failed
from tracing.core import semconv
from tracing.core.otlp_wire import IntAttribute, TextAttribute
from tracing.export.span_encoding import SpanEncoder
from tracing.spans import light as light_module
from tracing.spans.choose import span_starter
from tracing.spans.flat import FlatSpan, FlatSpans, SpanPlan
from tracing.spans.light import LightSpan
from tracing.spans.starter import SpanStarter

SHARED: dict[str, semconv.AttributeValue] = {"messaging.system": "kafka", "port": 9092, "ok": True}
OWN: dict[str, semconv.AttributeValue] = {"id": "e-1", "offset": 7}

_ID, _OFFSET = TextAttribute("id"), IntAttribute("offset")


class Probe(FlatSpan):
    __slots__ = ()

    own_names = frozenset(OWN)

    def own_attributes(self) -> dict[str, semconv.AttributeValue]:
        return dict(OWN)

    def encode_own(self, fields: list[bytes]) -> None:
        _ID.append(fields, b"e-1")
        _OFFSET.append(fields, 7)


class Ended(sdk.SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[sdk.ReadableSpan] = []

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self.spans.append(span)


@contextmanager
def warnings_of_the_sdk() -> Iterator[list[str]]:
    messages: list[str] = []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, handler = logging.getLogger("opentelemetry"), Keeps()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class Run:
    """The same changes, done to one kind of span; then what can be seen of them."""

    def __init__(self, limits: sdk.SpanLimits | None) -> None:
        self.ended = Ended()
        self.provider = sdk.TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": "s"}),
            span_limits=limits,
            shutdown_on_exit=False,
        )
        self.provider.add_span_processor(self.ended)
        self.spans = span_starter(self.provider)

    def by_the_sdk(self) -> Span:
        tracer = self.provider.get_tracer(
            semconv.SCOPE_NAME, semconv.SCOPE_VERSION, schema_url=semconv.SCHEMA_URL
        )
        span = tracer.start_span("name", Context(), SpanKind.CONSUMER, SHARED, start_time=1)
        span.set_attributes(dict(OWN))
        return span

    def light(self) -> Span:
        span = self.spans.start("name", Context(), SpanKind.CONSUMER, SHARED, start_ns=1)
        self.spans.enrich(span, dict(OWN))
        return span

    def flat(self) -> Span:
        spans = FlatSpans.of(self.spans)
        assert spans is not None
        traceparent = spans.root()
        assert traceparent is not None
        span: Probe = object.__new__(spans.kind(Probe))
        span.plan = SpanPlan("name", SpanKind.CONSUMER, SHARED)
        span.traceparent = traceparent
        span.above, span.above_is_remote = None, False
        span.start_ns, span.end_ns, span.added = 1, None, None
        return span

    def result(self, span: Span, changed: list[Change], *, by_the_sdk: bool) -> dict[str, object]:
        spans = None if by_the_sdk else self.spans
        answers: list[object] = []
        with warnings_of_the_sdk() as warnings, patched_clock():
            for change in changed:
                try:
                    answers.append(change(span, spans))
                except Exception as error:
                    answers.append(repr(error))
        (ended,) = self.ended.spans
        return {
            "answers": repr(answers),
            "warnings": warnings,
            # First, as the SDK's encoder makes a light span whole.
            "encoded": encoded(ended, by_the_sdk=by_the_sdk),
            "name": ended.name,
            "attributes": repr(list((ended.attributes or {}).items())),
            "events": repr(
                [(each.name, dict(each.attributes or {}), each.timestamp) for each in ended.events]
            ),
            "links": repr([(each.context, dict(each.attributes or {})) for each in ended.links]),
            "status": (ended.status.status_code, ended.status.description),
            "times": (ended.start_time, ended.end_time),
            "dropped": (ended.dropped_attributes, ended.dropped_events, ended.dropped_links),
        }


@contextmanager
def patched_clock() -> Iterator[None]:
    def clock() -> int:
        return 99

    with patch.object(sdk, "time_ns", clock), patch.object(light_module, "time_ns", clock):
        yield


def encoded(span: sdk.ReadableSpan, *, by_the_sdk: bool) -> object:
    with warnings_of_the_sdk():
        if by_the_sdk:
            try:
                request = encode_spans([span])
            except Exception:
                # What the SDK raises at depends on protobuf; ours leaves such a span out instead.
                return None
        else:
            request = ExportTraceServiceRequest.FromString(SpanEncoder().encode([span]))
    if not request.resource_spans:
        return None
    (message,) = request.resource_spans[0].scope_spans[0].spans
    message.trace_id = message.span_id = b""
    return request.SerializeToString(deterministic=True)


def check(changed: list[Change], limits: Callable[[], sdk.SpanLimits | None]) -> None:
    runs = [Run(limits()) for _ in range(3)]
    expected = runs[0].result(runs[0].by_the_sdk(), changed, by_the_sdk=True)
    light = runs[1].result(runs[1].light(), changed, by_the_sdk=False)
    if limits() is None:
        assert expected == light
        assert expected == runs[2].result(runs[2].flat(), changed, by_the_sdk=False)
    else:
        # The SDK cuts a light span's attributes, and logs that, when it is built.
        assert {**expected, "warnings": light["warnings"]} == light


LIMITS = st.sampled_from(
    [
        {},
        {},
        {"max_span_attributes": 6},
        {"max_events": 2, "max_event_attributes": 1},
        {"max_attribute_length": 3},
        {"max_span_attribute_length": 4},
        {"max_links": 1, "max_link_attributes": 0},
    ]
)


@settings(max_examples=250, deadline=None)
@given(
    before=st.lists(changes, max_size=8),
    end=ends,
    after=st.lists(st.one_of(changes, ends), max_size=2),
    limits=LIMITS,
)
def test_any_changes_of_a_span_give_what_the_sdk_gives(
    before: list[Change], end: Change, after: list[Change], limits: dict[str, int]
) -> None:
    check([*before, end, *after], lambda: sdk.SpanLimits(**limits) if limits else None)


@pytest.mark.parametrize("number", [1, 63, 64, 65, 128, 200])
def test_any_number_of_attributes_and_events_gives_what_the_sdk_gives(number: int) -> None:
    changed: list[Change] = []
    for each in range(number):
        changed += [
            lambda span, _, each=each: span.set_attribute(f"k{each % 150}", each),  # type: ignore[misc]
            lambda span, _, each=each: span.add_event(f"e{each}", {"n": each}, each),  # type: ignore[misc]
        ]
    check([*changed, lambda span, _: span.end(5)], lambda: None)


def test_limits_from_the_environment_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "5")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2")
    values: Mapping[str, str] = {"x": "long", "y": "longer"}

    check(
        [lambda span, _: span.set_attributes(values), lambda span, _: span.end(5)], sdk.SpanLimits
    )
    assert FlatSpans.of(span_starter(sdk.TracerProvider(shutdown_on_exit=False))) is None


def _handled(span: Span, _: SpanStarter | None) -> None:
    for number in range(3):
        span.set_attribute(f"app.{number}", "value")
    span.set_attributes({"app.list": ["a", "b"], "app.time": 0.5})
    span.add_event("happened", {"n": 1})
    span.record_exception(failed("no"))
    span.set_status(StatusCode.ERROR, "why")
    span.update_name("renamed")


@pytest.mark.parametrize("kind", ["light", "flat"])
def test_what_a_handler_usually_does_keeps_the_span_light(kind: str) -> None:
    run = Run(None)
    span = getattr(run, kind)()
    _handled(span, None)
    span.end(5)

    assert isinstance(span, LightSpan)
    assert span.is_light
    encoder = SpanEncoder()
    encoder.encode(run.ended.spans)
    assert span.is_light
    assert 0 == encoder.left_to_sdk
    assert "renamed" == span.name


@pytest.mark.parametrize("kind", ["light", "flat"])
@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("_name", "hidden"),
        ("_kind", SpanKind.CLIENT),
        ("_status", Status(StatusCode.ERROR, "hidden")),
        ("_attributes", {"hidden": True}),
        ("_events", [sdk.Event("hidden", {}, 5)]),
        ("_links", [Link(LINK)]),
        ("_end_time", 7),
        ("_parent", LINK),
    ],
)
def test_what_a_processor_replaces_is_not_exported(kind: str, part: str, value: object) -> None:
    class Hides(sdk.SpanProcessor):
        def on_end(self, span: sdk.ReadableSpan) -> None:
            setattr(span, part, value)

    def run(made: str, *, by_the_sdk: bool) -> object:
        run = Run(None)
        run.ended = Ended()
        run.provider.add_span_processor(Hides())
        run.provider.add_span_processor(run.ended)
        getattr(run, made)().end(5)
        return encoded(run.ended.spans[0], by_the_sdk=by_the_sdk)

    assert run("by_the_sdk", by_the_sdk=True) == run(kind, by_the_sdk=False)


@pytest.mark.parametrize("kind", ["light", "flat"])
def test_asking_for_an_attribute_that_no_span_has_leaves_it_light(kind: str) -> None:
    run = Run(None)
    span = getattr(run, kind)()

    assert getattr(span, "encoded", None) is None
    assert not hasattr(span, "_anything")
    assert span.is_light


@pytest.mark.parametrize("kind", ["light", "flat"])
@pytest.mark.parametrize(
    ("moment", "change"),
    [
        ("_is_free", lambda span: span.set_attribute("new", 1)),
        ("_are_free", lambda span: span.set_attributes({"new": 1})),
        ("_keep_event", lambda span: span.add_event("new")),
    ],
)
def test_nothing_is_lost_where_another_thread_reads_the_span_while_it_is_changed(
    kind: str, moment: str, change: Callable[[Span], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(None)
    span = getattr(run, kind)()
    original = getattr(type(span), moment)

    def read_meanwhile(self: Any, *args: object) -> object:
        # It is light when the change begins, and no longer when it is made.
        assert self.attributes is not None
        return original(self, *args)

    monkeypatch.setattr(type(span), moment, read_meanwhile)
    change(span)

    names = [*span.attributes, *(event.name for event in span.events)]
    assert ["new"] == [name for name in names if name not in {**SHARED, **OWN}]
