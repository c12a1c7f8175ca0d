"""The interface through which the library starts spans."""

from collections.abc import Sequence
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind

from tracing.core.semconv import Attributes, AttributeValue


class SpanStarter(Protocol):
    """Starts spans, and adds what becomes known later. Safe to use from any thread or task."""

    @property
    def drops_unsampled(self) -> bool:
        """Whether every span below an unsampled parent is dropped for certain.

        Then no span needs to be started there: the parent can stand for it.
        """

    @property
    def takes_span_ids(self) -> bool:
        """Whether `start` accepts the id of the new span."""

    def dropped_root(self) -> bytes | None:
        """Return the `traceparent` of a new trace that is certain not to be recorded.

        `None` where that is not certain: start a span instead.
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
        follows: SpanContext | None = None,
    ) -> Span:
        """Start a span whose parent is the span in `context`.

        Samplers see `attributes`: pass those that all messages share, and `enrich` the span with
        a message's own if it is recorded. Do not change `attributes` and `links` afterwards.

        Args:
            name: The span's name.
            context: Holds the parent.
            kind: The span's kind.
            attributes: The attributes that all messages share.
            links: Links that are known at the start.
            start_ns: The start in unix ns, where it lies in the past.
            span_id: The span's id, where `takes_span_ids`.
            follows: The linked span whose trace decides whether a new trace is sampled; without
                effect below a parent. By default the sampler decides alone. A provider that is
                not the SDK's always does.
        """

    def enrich(self, span: Span, attributes: dict[str, AttributeValue]) -> None:
        """Set attributes after the start; an ended span does not change.

        Do not change `attributes` afterwards.
        """

    def link(self, span: Span, links: Sequence[Link]) -> None:
        """Add links after the start; an ended span does not change."""
