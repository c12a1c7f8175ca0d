"""The choice between the API, which starts spans on any provider, and the fast way.

The fast way is taken on a stock SDK alone, and only where a probe shows that its spans equal the
SDK's own.
"""

import sys
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    ProxyTracer,
    Span,
    SpanContext,
    SpanKind,
    Tracer,
    TracerProvider,
    get_current_span,
    get_tracer_provider,
)

from tracing.core import semconv
from tracing.core.log import warn_once
from tracing.core.semconv import Attributes, AttributeValue
from tracing.spans.starter import SpanStarter


class ApiSpans:
    """Starts spans through the OpenTelemetry API alone."""

    __slots__ = ("_tracer",)

    drops_unsampled = False
    takes_span_ids = False

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def dropped_root(self) -> bytes | None:
        """Return `None`: nothing is certain with an unknown provider."""
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
        follows: SpanContext | None = None,
    ) -> Span:
        """Start a span."""
        tracer = self._tracer
        if follows is not None and not get_current_span(context).get_span_context().is_valid:
            tracer = self._following(follows)
        return tracer.start_span(name, context, kind, attributes, links, start_ns)

    def enrich(self, span: Span, attributes: dict[str, AttributeValue]) -> None:
        """Set attributes on a running span."""
        if span.is_recording():
            span.set_attributes(attributes)

    def link(self, span: Span, links: Sequence[Link]) -> None:
        """Add links to a running span."""
        if span.is_recording():
            for link in links:
                span.add_link(link.context, link.attributes)

    def _following(self, follows: SpanContext) -> Tracer:
        """Return a tracer that decides for a new trace as for a linked one, if it is an SDK's."""
        if isinstance(self._tracer, ProxyTracer):
            # The application may have set its provider since.
            self._tracer = _tracer(get_tracer_provider())
        # An SDK that is not installed cannot have made the tracer; do not look for it each time.
        if "opentelemetry.sdk.trace" not in sys.modules:
            return self._tracer
        from tracing.spans.linked_root import linked_tracer  # noqa: PLC0415 - needs the SDK

        return linked_tracer(self._tracer, follows)


def _tracer(provider: TracerProvider) -> Tracer:
    return provider.get_tracer(
        semconv.SCOPE_NAME, semconv.SCOPE_VERSION, schema_url=semconv.SCHEMA_URL
    )


def span_starter(provider: TracerProvider, *, fast: bool = True) -> SpanStarter:
    """Choose how to start spans on a provider: fast on a stock SDK, else through the API.

    Args:
        provider: The provider.
        fast: Whether the fast way may be taken at all.
    """
    tracer = _tracer(provider)
    # An SDK that is not installed cannot have made the provider; do not import it for nothing.
    if fast and type(provider).__module__.startswith("opentelemetry.sdk.trace"):
        try:
            from tracing.spans.fast_proof import light_spans  # noqa: PLC0415 - needs the SDK

            starter = light_spans(tracer)
            if starter is not None:
                return starter
        except Exception as error:
            warn_once("light spans do not fit this SDK; using its own, slower ones", error=error)
    return ApiSpans(tracer)
