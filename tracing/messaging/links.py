"""Links from a span to the messages that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Link

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from tracing.core.semconv import Attributes

MAX_LINKS: Final = 128
"""Links on one span, the SDK's own default limit; the real number is an attribute."""


def link_to(creation: Span, placement: Attributes) -> Link:
    """Link to the span that created a message."""
    return Link(creation.get_span_context(), placement)
