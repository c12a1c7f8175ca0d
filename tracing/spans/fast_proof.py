"""The proof that light spans equal the SDK's own, in the installed version of the SDK."""

import os
from functools import cache
from typing import Final, cast

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)

from tracing.spans.fast import LightSpans
from tracing.spans.starter import SpanStarter

# With this on, the SDK counts its spans as it starts them, and light spans would be missing.
_INTERNAL_METRICS: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"


def light_spans(tracer: Tracer) -> SpanStarter | None:
    """Return a starter of light spans on a tracer; `None` where the SDK has to start its own."""
    if type(tracer) is not sdk.Tracer or os.environ.get(_INTERNAL_METRICS, "").lower() == "true":
        return None
    return LightSpans(tracer) if _equal_to_the_sdk() else None


@cache
def _equal_to_the_sdk() -> bool:
    """Compare light spans with the SDK's, in everything that an exporter can read."""
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
    for touched in (False, True):
        shared, own = {"a": "b"}, {"c": 3}
        by_the_sdk = tracer.start_span("probe", Context(), SpanKind.PRODUCER, shared, (link,))
        by_the_sdk.set_attributes(own)
        by_the_sdk.add_link(link.context, link.attributes)
        fast = light.start("probe", Context(), SpanKind.PRODUCER, shared, (link,))
        light.enrich(fast, {**own})
        light.link(fast, (link,))
        for span in (by_the_sdk, fast):
            if touched:
                span.add_event("event", {"k": "v"}, timestamp=5)
                span.set_attribute("d", "e")
            span.set_status(Status(StatusCode.ERROR, "why"))
            span.end()
    seen = [_visible(span) for span in ended]
    return len(seen) == 4 and seen[0] == seen[1] and seen[2] == seen[3]  # noqa: PLR2004


def _visible(span: sdk.ReadableSpan) -> tuple[object, ...]:
    context = span.get_span_context()
    scope = span.instrumentation_scope
    if context is None or scope is None or None in (span.start_time, span.end_time):
        return ()
    return (
        (span.name, span.kind, span.parent, context.trace_flags, context.trace_state),
        (context.is_valid, context.is_remote, dict(span.attributes or {})),
        (span.resource, scope.name, scope.version, scope.schema_url),
        [(event.name, dict(event.attributes or {}), event.timestamp) for event in span.events],
        [(link.context, dict(link.attributes or {})) for link in span.links],
        (span.status.status_code, span.status.description),
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
    )
