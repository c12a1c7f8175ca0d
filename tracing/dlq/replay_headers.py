"""The headers of a dead letter that goes back to where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracing.headers import w3c
from tracing.headers.codec import listed, without
from tracing.headers.dead_letter import (
    ERROR_HEADERS,
    FIRST_FAILED_AT,
    REPLAY_GROUP,
    REPLAY_ID,
    Replay,
)

if TYPE_CHECKING:
    from tracing.dlq.reading import Letter
    from tracing.headers.codec import Header
    from tracing.headers.dead_letter import Provenance

_LEFT_OUT: Final = (ERROR_HEADERS - {FIRST_FAILED_AT}) | {
    REPLAY_GROUP,
    REPLAY_ID,
    w3c.TRACEPARENT,
    w3c.TRACESTATE,
}


def replay_headers(letter: Letter, provenance: Provenance) -> tuple[list[Header], Replay]:
    """Make the headers of a letter that goes back, but for its new trace context.

    The record's own stay, and so does the time at which it first failed. All letters of a record,
    and all its replays, have the id of the record that first failed, so that a consumer with an
    inbox applies it once.
    """
    earlier = Replay.from_headers(letter.record.headers)
    first = f"{provenance.topic}/{provenance.partition}/{provenance.offset}"
    if earlier is not None and (place := earlier.place) is not None:
        behind = place[2] < provenance.offset
        if behind and place[:2] == (provenance.topic, provenance.partition):
            first = earlier.id
    replay = Replay(group=provenance.group, id=first)
    return without(listed(letter.record.headers), _LEFT_OUT) + replay.headers(), replay


def own_context(letter: Letter) -> list[Header]:
    """Where nobody traces the replay, the record stays in the trace that failed."""
    context = letter.context
    return [] if context is None else [(w3c.TRACEPARENT, w3c.format_traceparent(context))]
