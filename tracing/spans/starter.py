"""Starting spans: through the API for any tracer provider, faster where that is proven equal."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer, TracerProvider

from tracing.core import semconv
from tracing.metrics.diagnostics import warn_once

AttributeValue = str | bool | int | float
Attributes = Mapping[str, AttributeValue]


class SpanStarter(Protocol):
    """Starts and completes spans. Safe to use from any thread or task."""

    @property
    def drops_unsampled(self) -> bool:
        """Whether it is certain that nothing below an unsampled span is recorded.

        Then there is no need to start such a span: the parent can stand for it.
        """

    @property
    def takes_span_ids(self) -> bool:
        """Whether `start` can give a span an id that was chosen before."""

    def dropped_root(self) -> bytes | None:
        """The `traceparent` of a new trace that nobody records, where that is certain.

        `None` where it is not: then start a span and see.
        """

    def start(
        self,
        name: str,
        context: Context,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] = (),
        start_ns: int | None = None,
        span_id: int | None = None,
    ) -> Span:
        """Start a span whose parent is the span in `context`.

        Samplers see `attributes`: give those that are known of all messages alike, and `enrich`
        the span with a message's own once it turns out to be recorded. `attributes` and `links`
        must not change afterwards. `start_ns` is the start in unix ns, where it lies in the past,
        and `span_id` an id that was chosen before, where that can be taken.
        """

    def enrich(self, span: Span, attributes: dict[str, AttributeValue]) -> None:
        """Set attributes that came up after the start; no effect on an ended span.

        `attributes` are handed over, as at the start.
        """

    def link(self, span: Span, links: Sequence[Link]) -> None:
        """Add links that came up after the start; no effect on an ended span."""


class ApiSpans:
    """Spans by way of the OpenTelemetry API alone."""

    __slots__ = ("_tracer",)

    drops_unsampled = False
    takes_span_ids = False

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def dropped_root(self) -> bytes | None:
        """Nothing is certain with an unknown provider."""
        return None

    def start(
        self,
        name: str,
        context: Context,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] = (),
        start_ns: int | None = None,
        span_id: int | None = None,  # noqa: ARG002 - the API has no way to choose one
    ) -> Span:
        """Start a span."""
        return self._tracer.start_span(name, context, kind, attributes, links, start_ns)

    def enrich(self, span: Span, attributes: dict[str, AttributeValue]) -> None:
        """Set attributes on a running span."""
        if span.is_recording():
            span.set_attributes(attributes)

    def link(self, span: Span, links: Sequence[Link]) -> None:
        """Add links to a running span."""
        if span.is_recording():
            for link in links:
                span.add_link(link.context, link.attributes)


def span_starter(provider: TracerProvider) -> SpanStarter:
    """Choose how to start spans on a provider: the light way on a stock SDK, else the API."""
    tracer = provider.get_tracer(
        semconv.SCOPE_NAME, semconv.SCOPE_VERSION, schema_url=semconv.SCHEMA_URL
    )
    # An SDK that is not there cannot have made the provider; do not import it for nothing.
    if type(provider).__module__.startswith("opentelemetry.sdk.trace"):
        try:
            from tracing.spans.fast_proof import light_spans  # noqa: PLC0415 - needs the SDK

            starter = light_spans(tracer)
            if starter is not None:
                return starter
        except Exception as error:
            warn_once("light spans do not fit this SDK; using its own, slower ones", error=error)
    return ApiSpans(tracer)
