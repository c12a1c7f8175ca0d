"""Which orders no saga was started for, read off the spans of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demo_pipeline.topics import ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan

_LETTERS: Final = f"dead_letter {ORDERS}"


def given_up(spans: Iterable[ReadableSpan]) -> frozenset[str]:
    """The ids of the orders of which nobody could read that they were placed.

    They come to no end. Whatever else becomes a dead letter, the saga gets no answer to, and ends
    without it.
    """
    found = set()
    for span in spans:
        if span.name.startswith(_LETTERS) and span.attributes is not None:
            order_id = span.attributes.get("messaging.message.conversation_id")
            if isinstance(order_id, str):
                found.add(order_id)
    return frozenset(found)
