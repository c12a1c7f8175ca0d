"""Which orders a service gave up on, read off the spans of its dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan


def given_up(spans: Iterable[ReadableSpan]) -> frozenset[str]:
    """The ids of the orders of which a record became a dead letter: they come to no end."""
    found = set()
    for span in spans:
        if span.name.startswith("dead_letter ") and span.attributes is not None:
            order_id = span.attributes.get("messaging.message.conversation_id")
            if isinstance(order_id, str):
                found.add(order_id)
    return frozenset(found)
