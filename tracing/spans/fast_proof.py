"""The proof that light and flat spans equal the SDK's own, in the installed version of the SDK."""

import os
from functools import cache
from time import time_ns
from typing import Final, cast

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)

from tracing.core.semconv import AttributeValue
from tracing.spans.fast import LightSpans
from tracing.spans.flat import FlatSpan, FlatSpans, SpanPlan
from tracing.spans.starter import SpanStarter

# With this on, the SDK counts its spans as it starts them, and light spans would be missing.
_INTERNAL_METRICS: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"

_SHARED: Final[dict[str, AttributeValue]] = {"a": "b"}
_OWN: Final[dict[str, AttributeValue]] = {"c": 3}


def light_spans(tracer: Tracer) -> SpanStarter | None:
    """Return a starter of light spans on a tracer; `None` where the SDK has to start its own."""
    if type(tracer) is not sdk.Tracer or os.environ.get(_INTERNAL_METRICS, "").lower() == "true":
        return None
    return LightSpans(tracer) if _equal_to_the_sdk() else None


@cache
def _equal_to_the_sdk() -> bool:
    """Compare light and flat spans with the SDK's, in everything that an exporter can read."""
    ended: list[sdk.ReadableSpan] = []

    class _Collect(sdk.SpanProcessor):
        def on_end(self, span: sdk.ReadableSpan) -> None:
            ended.append(span)

    provider = sdk.TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(_Collect())
    tracer = provider.get_tracer("tracing.spans.fast", "1", schema_url="https://example.com/1")
    link = Link(
        SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)), {"n": 1}
    )
    light = LightSpans(cast("sdk.Tracer", tracer))
    flat = FlatSpans.of(light)
    for change in (_nothing, _as_handlers_do, _as_few_do):
        ended.clear()
        spans = [tracer.start_span("probe", Context(), SpanKind.PRODUCER, _SHARED, (link,))]
        spans[0].set_attributes(_OWN)
        spans[0].add_link(link.context, link.attributes)
        spans.append(light.start("probe", Context(), SpanKind.PRODUCER, _SHARED, (link,)))
        light.enrich(spans[1], {**_OWN})
        light.link(spans[1], (link,))
        if flat is not None:
            spans.append(_flat_probe(flat))
            light.link(spans[2], (link, link))
        for span in spans:
            change(span)
            span.end()
        seen = [_visible(span) for span in ended]
        if len(seen) != len(spans) or any(each != seen[0] for each in seen):
            return False
    return True


class _Probe(FlatSpan):
    __slots__ = ()
    own_names = frozenset(_OWN)

    def own_attributes(self) -> dict[str, AttributeValue]:
        return {**_OWN}


def _flat_probe(flat: FlatSpans) -> FlatSpan:
    span: FlatSpan = object.__new__(flat.kind(_Probe))
    span.plan = SpanPlan("probe", SpanKind.PRODUCER, _SHARED)
    span.traceparent = flat.root() or b""
    span.above, span.above_is_remote = None, False
    span.start_ns, span.end_ns, span.added = time_ns(), None, None
    return span


def _nothing(span: Span) -> None:
    """Leave the span as it is."""


def _as_handlers_do(span: Span) -> None:
    """What a light span keeps without the SDK."""
    span.set_attribute("d", "e")
    span.set_attributes({"f": [1, 2], "d": 0.5, "g": True})
    span.add_event("event", {"k": "v", "n": (True,)}, timestamp=5)
    span.record_exception(ValueError("why"), timestamp=6)
    span.update_name("renamed")
    span.set_status(StatusCode.ERROR, "why")
    span.set_status(Status(StatusCode.UNSET))


def _as_few_do(span: Span) -> None:
    """What is left to the SDK, and then what comes after it."""
    span.set_attribute("a", "shared")
    span.set_attribute("c", b"own")
    _as_handlers_do(span)
    span.set_status(Status(StatusCode.OK))
    span.set_status(StatusCode.ERROR)


def _visible(span: sdk.ReadableSpan) -> tuple[object, ...]:
    context = span.get_span_context()
    scope = span.instrumentation_scope
    if context is None or scope is None or None in (span.start_time, span.end_time):
        return ()
    return (
        (span.name, span.kind, span.parent, context.trace_flags, context.trace_state),
        (context.is_valid, context.is_remote, [*(span.attributes or {}).items()]),
        (span.resource, scope.name, scope.version, scope.schema_url),
        [
            (event.name, [*(event.attributes or {}).items()], event.timestamp)
            for event in span.events
        ],
        [(link.context, dict(link.attributes or {})) for link in span.links],
        (span.status.status_code, span.status.description),
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
    )
