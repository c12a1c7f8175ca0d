"""Events that carry their state beside notifications, whose readers have to call back for it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.model import Role
from demo_pipeline.report.timing import distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from demo_pipeline.report.model import Distribution, SpanFacts

_METHOD: Final = "http.request.method"
_MESSAGE_ID: Final = "messaging.message.id"
_SIZE: Final = "messaging.message.body.size"


@dataclass(frozen=True, slots=True)
class Coupling:
    """What one type of message brings its readers, and what it makes them depend on.

    Attributes:
        message_type: The type.
        topic: The topic.
        events: How many were sent; one that was sent twice counts once.
        readers: The services that read it, with their group if that has another name.
        call_backs: How many requests its readers made while they handled it.
        failed: How many of those failed.
        size: Bytes of its value.
        added: How long a reader had to wait for the state after it had the message, in ns.
        newer: How many readings got a state that is newer than the message: the service that
            answered had handled a later message of the same order.
        asked: The services that answered; each must be up for the readers to go on.
    """

    message_type: str
    topic: str
    events: int
    readers: tuple[str, ...]
    call_backs: int
    failed: int
    size: Distribution | None
    added: Distribution | None
    newer: int
    asked: tuple[str, ...]

    @property
    def call_backs_per_event(self) -> float:
        """Requests for each event, over all readers."""
        return self.call_backs / self.events if self.events else 0.0


@dataclass(frozen=True, slots=True)
class _CallBack:
    """A request that a reader made while it handled a message, and the span that answered it."""

    request: SpanFacts
    answer: SpanFacts | None


def couplings(spans: Sequence[SpanFacts]) -> tuple[Coupling, ...]:
    """Compare the types of messages that lead to call-backs with those that are sent beside them.

    Args:
        spans: All spans of the run.

    Returns:
        One for each type, with the fewest call-backs first; nothing where no reader calls back.
    """
    called = _call_backs(spans)
    if not called:
        return ()
    handled: defaultdict[str, list[SpanFacts]] = defaultdict(list)
    sent: defaultdict[str, list[SpanFacts]] = defaultdict(list)
    for span in spans:
        if span.message_type and span.role is Role.PROCESS:
            handled[span.message_type].append(span)
        elif span.message_type and span.role is Role.SEND:
            sent[span.message_type].append(span)
    thin = {
        span.message_type for each in handled.values() for span in each if span.span_id in called
    }
    # What is published by the same piece of work is about the same fact.
    works = {span.parent_id for each in thin for span in sent[each]} - {None}
    compared = [
        each for each, sends in sent.items() if each in thin or works & {s.parent_id for s in sends}
    ]
    moved = _moves(spans)
    found = [_coupling(each, sent[each], handled[each], called, moved) for each in compared]
    return tuple(sorted(found, key=lambda each: (each.call_backs_per_event, each.message_type)))


def _call_backs(spans: Sequence[SpanFacts]) -> Mapping[int, Sequence[_CallBack]]:
    """Return the call-backs by the process span in which they were made, in the order of time."""
    by_id = {span.span_id: span for span in spans}
    answers = {span.parent_id: span for span in spans if span.kind == "SERVER"}
    called: defaultdict[int, list[_CallBack]] = defaultdict(list)
    for span in spans:
        if span.kind == "CLIENT" and _METHOD in span.attributes:
            reading = _reading_around(span, by_id)
            if reading is not None:
                called[reading.span_id].append(_CallBack(span, answers.get(span.span_id)))
    return called


def _reading_around(span: SpanFacts, by_id: Mapping[int, SpanFacts]) -> SpanFacts | None:
    """Return the processing in which a span was made; `None` if there is none."""
    seen: set[int] = set()
    around = by_id.get(span.parent_id or 0)
    while around is not None and around.span_id not in seen:
        if around.role is Role.PROCESS:
            return around
        seen.add(around.span_id)
        around = by_id.get(around.parent_id or 0)
    return None


def _moves(spans: Iterable[SpanFacts]) -> Mapping[tuple[str, str], int]:
    """Return when each service had first handled a message of each order, unix ns."""
    moved: dict[tuple[str, str], int] = {}
    for span in spans:
        if span.role is Role.PROCESS and span.conversation_id and not span.failed:
            about = span.service, span.conversation_id
            moved[about] = min(span.end_ns, moved.get(about, span.end_ns))
    return moved


def _coupling(
    message_type: str,
    sends: Sequence[SpanFacts],
    handled: Sequence[SpanFacts],
    called: Mapping[int, Sequence[_CallBack]],
    moved: Mapping[tuple[str, str], int],
) -> Coupling:
    calls = [call for span in handled for call in called.get(span.span_id, ())]
    sizes = {_id(span): size for span in handled if (size := _size(span)) is not None}
    newer = 0
    for span in handled:
        answer = next((c.answer for c in reversed(called.get(span.span_id, ())) if c.answer), None)
        if answer is not None:
            since = moved.get((answer.service, span.conversation_id))
            newer += since is not None and since <= answer.start_ns
    return Coupling(
        message_type=message_type,
        topic=sends[0].topic,
        events=len({_id(span) for span in sends}),
        readers=tuple(sorted({span.reader for span in handled})),
        call_backs=len(calls),
        failed=sum(call.request.failed for call in calls),
        size=distribution(sizes.values()),
        added=distribution(_added_ns(span, called.get(span.span_id, ())) for span in handled),
        newer=newer,
        asked=tuple(sorted({call.answer.service for call in calls if call.answer})),
    )


def _added_ns(reading: SpanFacts, calls: Sequence[_CallBack]) -> int:
    """Return how long after the start of its handling a reader had the state."""
    return max((call.request.end_ns - reading.start_ns for call in calls), default=0)


def _id(span: SpanFacts) -> object:
    return span.attributes.get(_MESSAGE_ID, span.span_id)


def _size(span: SpanFacts) -> int | None:
    size = span.attributes.get(_SIZE)
    return size if isinstance(size, int) else None
