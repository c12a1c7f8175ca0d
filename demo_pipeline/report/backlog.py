"""Records behind: how many records each hop had not yet handled, over the run.

Computed from spans: a record is behind from the broker's acknowledgement of its send until the end
of its processing; one that the group never handles stays behind. A group counts from its first
record on: before, it was not there.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.model import Role

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from demo_pipeline.report.model import SpanFacts

LEAST: Final = 10
"""Fewer records behind are usual, and not worth showing."""

_SLOTS: Final = 120
_MESSAGE_ID: Final = "messaging.message.id"


@dataclass(frozen=True, slots=True)
class HopBacklog:
    """The records that one hop had not yet handled, over time.

    Attributes:
        name: The hop, as `service ← topic`.
        most: The highest number in each slot; `None` before the group was there.
        peak_ns: When the number was highest, unix ns.
        drained_ns: When it was 0 again after that, unix ns; `None` if the run ended before.
    """

    name: str
    most: tuple[int | None, ...]
    peak_ns: int
    drained_ns: int | None

    @property
    def highest(self) -> int:
        """The highest number of all slots."""
        return max((number for number in self.most if number is not None), default=0)


@dataclass(frozen=True, slots=True)
class Backlogs:
    """The records behind of all hops over a period, divided into equal slots.

    Attributes:
        start_ns: When the first record was sent, unix ns.
        end_ns: When the last one was handled, or sent if it never was.
        hops: The hops, in the order of their first records.
    """

    start_ns: int
    end_ns: int
    hops: tuple[HopBacklog, ...]

    @property
    def furthest(self) -> tuple[HopBacklog, ...]:
        """The hops that were far behind, the furthest first."""
        ranked = sorted(self.hops, key=lambda hop: -hop.highest)
        return tuple(hop for hop in ranked if hop.highest >= LEAST)


def backlogs(spans: Sequence[SpanFacts]) -> Backlogs | None:
    """Count the records behind of all hops; return `None` without any record."""
    sent = first_sends(spans)
    by_hop: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for span in spans:
        if span.role is Role.PROCESS:
            arrived = min(arrived_at(span, sent), span.start_ns)
            by_hop[f"{span.reader} ← {span.topic}"].append((arrived, span.start_ns, span.end_ns))
    if not by_hop:
        return None
    start = min(arrived for handled in by_hop.values() for arrived, _, _ in handled)
    left = {
        name: [sent[topic, message_id] for topic, message_id in messages]
        for name, messages in _never_handled(spans).items()
    }
    ends = [ended for handled in by_hop.values() for _, _, ended in handled]
    end = max(*ends, *(arrived for arrivals in left.values() for arrived in arrivals), start)
    hops = tuple(_hop(name, handled, left[name], start, end) for name, handled in by_hop.items())
    return Backlogs(start, end, hops)


def left_behind(spans: Sequence[SpanFacts]) -> Mapping[str, int]:
    """Return how many sent messages each hop had not handled when the run ended, by its name."""
    return {name: len(messages) for name, messages in _never_handled(spans).items()}


def _never_handled(spans: Iterable[SpanFacts]) -> Mapping[str, Collection[tuple[str, object]]]:
    """Return the topics and ids of the messages that each hop did not handle, by its name."""
    sent: defaultdict[str, set[object]] = defaultdict(set)
    handled: defaultdict[tuple[str, str], set[object]] = defaultdict(set)
    for span in spans:
        message_id = span.attributes.get(_MESSAGE_ID)
        if span.role is Role.SEND and message_id is not None:
            sent[span.topic].add(message_id)
        elif span.role is Role.PROCESS:
            handled[span.reader, span.topic].add(message_id)
    return {
        f"{reader} ← {topic}": [(topic, each) for each in sent[topic] - message_ids]
        for (reader, topic), message_ids in handled.items()
    }


def first_sends(spans: Iterable[SpanFacts]) -> Mapping[tuple[str, object], int]:
    """Return when each message was first on the broker, unix ns, by topic and id."""
    sent: dict[tuple[str, object], int] = {}
    for span in spans:
        message_id = span.attributes.get(_MESSAGE_ID)
        if span.role is Role.SEND and message_id is not None:
            sent.setdefault((span.topic, message_id), span.end_ns)
    return sent


def arrived_at(span: SpanFacts, sent: Mapping[tuple[str, object], int]) -> int:
    """Return when the record of a process span was on the broker, unix ns."""
    at = sent.get((span.topic, span.attributes.get(_MESSAGE_ID)))
    if at is not None:
        return at
    return span.start_ns - (span.wait_ns or 0)


def _hop(
    name: str,
    handled: Sequence[tuple[int, int, int]],
    left: Sequence[int],
    start_ns: int,
    end_ns: int,
) -> HopBacklog:
    there_ns = min(started for _, started, _ in handled)
    changes = sorted(
        # What was there before the group is behind from its first record on.
        [(max(arrived, there_ns), 1) for arrived in (*(first for first, _, _ in handled), *left)]
        + [(ended, -1) for _, _, ended in handled],
        # At the same moment, arrivals first: no record is handled before it is there.
        key=lambda change: (change[0], -change[1]),
    )
    length = max(1, end_ns - start_ns)
    most: list[int | None] = [None] * _SLOTS
    behind = highest = 0
    peak_ns = there_ns
    drained_ns: int | None = None
    filled = min(_SLOTS - 1, (there_ns - start_ns) * _SLOTS // length)
    for at_ns, change in changes:
        slot = min(_SLOTS - 1, (at_ns - start_ns) * _SLOTS // length)
        # Nothing changed in the slots between: they keep the number.
        for between in range(filled, slot + 1):
            most[between] = max(most[between] or 0, behind)
        filled = slot
        behind += change
        most[slot] = max(most[slot] or 0, behind)
        if behind > highest:
            highest, peak_ns, drained_ns = behind, at_ns, None
        elif behind == 0 and drained_ns is None:
            drained_ns = at_ns
    for after in range(filled + 1, _SLOTS):
        most[after] = behind
    return HopBacklog(name, tuple(most), peak_ns, drained_ns)
