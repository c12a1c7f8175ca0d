"""The outbox of each service: how long messages waited to be sent, and how many at once.

Computed from spans: that of a message's processing has the time since its creation, and that of its
send the time when it was on the broker.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.model import Role
from demo_pipeline.report.timing import distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from demo_pipeline.report.model import Distribution, SpanFacts

_MESSAGE_ID: Final = "messaging.message.id"


@dataclass(frozen=True, slots=True)
class Outbox:
    """The messages that one service sent to one topic.

    Attributes:
        service: The sending service.
        topic: The topic.
        messages: The number of messages.
        delay: The time from their creation until their records were written, in ns.
        most_pending: The most messages that were created and not yet on the broker, at one moment.
    """

    service: str
    topic: str
    messages: int
    delay: Distribution
    most_pending: int


def outboxes(spans: Sequence[SpanFacts]) -> tuple[Outbox, ...]:
    """Sum up the outboxes, in the order of their first messages."""
    delays: dict[tuple[str, object], int] = {}
    for span in spans:
        if span.role is Role.PROCESS and span.publish_ns is not None:
            delays.setdefault((span.topic, span.attributes.get(_MESSAGE_ID)), span.publish_ns)
    pending: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    seen: set[tuple[str, object]] = set()
    for span in spans:
        message = (span.topic, span.attributes.get(_MESSAGE_ID))
        # A message that was sent again, for example after a crash, was pending once.
        if span.role is Role.SEND and message in delays and message not in seen:
            seen.add(message)
            created_ns = min(span.start_ns, span.end_ns - delays[message])
            pending[span.service, span.topic].append((created_ns, span.end_ns))
    return tuple(
        Outbox(service, topic, len(waits), spread, _most_at_once(waits))
        for (service, topic), waits in pending.items()
        if (spread := distribution(end - start for start, end in waits)) is not None
    )


def _most_at_once(intervals: Iterable[tuple[int, int]]) -> int:
    changes = sorted(change for start, end in intervals for change in ((start, 1), (end, -1)))
    most = number = 0
    for _, change in changes:
        number += change
        most = max(most, number)
    return most
