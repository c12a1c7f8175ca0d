"""The interface through which the library starts spans."""

from collections.abc import Sequence
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from tracing.core.semconv import Attributes, AttributeValue


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
