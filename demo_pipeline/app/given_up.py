"""Which orders no saga was started for, read off the spans of their processing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from demo_pipeline.domain.topics import ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan

_PROCESS: Final = f"process {ORDERS}"
_UNREADABLE: Final = {
    "messaging.consumer.group.name": "orchestrator",
    "pipeline.outcome": "dead_lettered",
    "error.type": "msgspec.DecodeError",
}


def given_up(spans: Iterable[ReadableSpan]) -> frozenset[str]:
    """The ids of the orders of which the orchestrator could not read that they were placed.

    They come to no end. Whatever else becomes a dead letter, the saga gets no answer to, and ends
    without it; and an order that was given up for another reason is one that was lost.
    """
    found = set()
    for span in spans:
        attributes = span.attributes or {}
        if span.name == _PROCESS and _UNREADABLE.items() <= attributes.items():
            order_id = attributes.get("messaging.message.conversation_id")
            if isinstance(order_id, str):
                found.add(order_id)
    return frozenset(found)
