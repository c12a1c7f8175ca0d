"""Links from a span to the messages that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Link

from tracing.core import semconv

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord
    from opentelemetry.trace import Span

MAX_LINKS: Final = 128
"""Links on one span, the SDK's own default limit; the real number is an attribute."""


def link_to(creation: Span, record: ConsumerRecord[Any, Any]) -> Link:
    """Link to the span that created a message."""
    return Link(
        creation.get_span_context(),
        {semconv.PARTITION: str(record.partition), semconv.OFFSET: record.offset},
    )
