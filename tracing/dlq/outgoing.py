"""Headers and span of a replayed dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.trace import Link

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.headers import cloudevents, w3c
from tracing.headers.codec import latest, listed, without
from tracing.headers.dead_letter import (
    ERROR_HEADERS,
    FIRST_FAILED_AT,
    REPLAY_HEADERS,
    WRITTEN_BY,
    Replay,
)
from tracing.headers.dead_letter_formats import FORMATS
from tracing.messaging.destination import Destination
from tracing.messaging.message_type import described, type_of
from tracing.messaging.send import begin

if TYPE_CHECKING:
    from tracing.dlq.reading import Letter
    from tracing.headers.codec import Header
    from tracing.headers.dead_letter import Provenance
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.messaging.send import Sending
    from tracing.messaging.transport import ClientInfo
    from tracing.telemetry import Telemetry

_MARKS_AND_TRACE: Final = REPLAY_HEADERS | {w3c.TRACEPARENT, w3c.TRACESTATE}
_LEFT_OUT: Final = (ERROR_HEADERS - {FIRST_FAILED_AT}) | _MARKS_AND_TRACE


def replay_headers(
    dead_letter: Letter, provenance: Provenance, formats: DeadLetterFormats = FORMATS
) -> tuple[list[Header], Replay | None]:
    """Return the headers of a replayed dead letter, without the new trace context, and its mark.

    The record keeps its own headers and the time at which it first failed. All dead letters and
    replays of a record carry the id of the record that first failed, so that a consumer with an
    inbox applies it once.

    A dead letter of another system has no mark if it does not say its group, partition and offset.
    If it does, the mark makes the other groups skip it whose consumers are of this library.
    """
    if provenance.written_by != WRITTEN_BY:
        headers = formats.without_errors(listed(dead_letter.record.headers), provenance)
        headers = without(headers, _MARKS_AND_TRACE)
        if not provenance.group or provenance.partition < 0 or provenance.offset < 0:
            return headers, None
        mark = Replay(group=provenance.group, id=_place(provenance))
        return headers + mark.headers(), mark
    earlier = Replay.from_headers(dead_letter.record.headers)
    first = _place(provenance)
    if earlier is not None and (place := earlier.place) is not None:
        behind = place[2] < provenance.offset
        if behind and place[:2] == (provenance.topic, provenance.partition):
            first = earlier.id
    replay = Replay(group=provenance.group, id=first)
    return without(listed(dead_letter.record.headers), _LEFT_OUT) + replay.headers(), replay


def own_context(dead_letter: Letter) -> list[Header]:
    """Return the trace context of the failed trace, for a replay that is not traced."""
    context = dead_letter.context
    if context is None:
        return []
    own: list[Header] = [(w3c.TRACEPARENT, w3c.format_traceparent(context))]
    if context.trace_state:
        own.append((w3c.TRACESTATE, context.trace_state.to_header().encode()))
    return own


class ReplaySends:
    """Begins the sends of one replay. For one task."""

    def __init__(self, telemetry: Telemetry, info: ClientInfo) -> None:
        self._telemetry = telemetry
        self._destinations: BoundedDict[str, Destination] = BoundedDict(
            lambda topic: Destination(telemetry, info, topic, semconv.REPLAY)
        )

    def begin(
        self,
        dead_letter: Letter,
        provenance: Provenance,
        headers: list[Header],
        mark: Replay | None,
    ) -> Sending | None:
        """Begin the send of a dead letter; return `None` if telemetry fails, which is logged.

        Args:
            dead_letter: The dead letter.
            provenance: Where it came from.
            headers: The headers to send, without a trace context.
            mark: The replay mark among these headers, if there is one.
        """
        telemetry = self._telemetry
        try:
            present = latest(dead_letter.record.headers)
            message_type = type_of(telemetry, dead_letter.record, present)
            destination = self._destinations[provenance.topic].types[message_type]
            failed = dead_letter.context
            own = without(headers, telemetry.propagation.fields - {w3c.BAGGAGE})
            # The record keeps its own flow, or has none: a replay does not begin a flow.
            sending = begin(
                telemetry,
                destination,
                Context(),
                own.copy(),
                dead_letter.record.timestamp,
                () if failed is None else (Link(failed, described(message_type)),),
                keep_baggage=True,
                follows=failed,
            )
            if len(sending.headers) == len(own):
                sending.headers += own_context(dead_letter)
            if sending.span is not None:
                replay_id = _place(provenance) if mark is None else mark.id
                attributes = {**cloudevents.identity(present), semconv.REPLAY_ID: replay_id}
                if destination.mixed:
                    attributes |= described(message_type)
                if dead_letter.edited:
                    attributes[semconv.REPLAY_EDITED] = True
                telemetry.spans.enrich(sending.span, attributes)
        except Exception as fault:
            telemetry.diagnostics.failed("replay", fault)
            return None
        return sending


def _place(provenance: Provenance) -> str:
    return f"{provenance.topic}/{provenance.partition}/{provenance.offset}"
