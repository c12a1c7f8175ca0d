"""What a process span says: the attributes of its message, as values and in OTLP's wire format.

The span of an ordinary record is written in two steps: what is known at its start, and what became
known at its end. Whatever is missing or unusual makes a span that is written one attribute after
the other; the result is the same.
"""

from __future__ import annotations

from binascii import unhexlify
from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv
from tracing.core.otlp_values import encoded_attributes
from tracing.core.otlp_wire import (
    END_TIME,
    LOCAL,
    REMOTE,
    SPAN_ATTRIBUTE,
    START_TIME,
    DoubleAttribute,
    IntAttribute,
    TextAttribute,
    attribute,
    packer,
    read_ids,
    read_own_ids,
)
from tracing.headers import cloudevents
from tracing.headers.codec import text
from tracing.headers.flow import MAX_SKEW_MS
from tracing.messaging.flat.near import BITS, LOW, OCTETS, ORIGINS, UPPER
from tracing.messaging.message_type import described
from tracing.messaging.outcome import OK
from tracing.spans.flat import FlatSpan
from tracing.spans.light_values import updated

if TYPE_CHECKING:
    from tracing.core.semconv import AttributeValue
    from tracing.messaging.flat.near import ProcessNumbers
    from tracing.messaging.flat.process_plan import ProcessPlan

_ID: Final = TextAttribute(semconv.MESSAGE_ID)
_SUBJECT: Final = TextAttribute(semconv.CONVERSATION_ID)
_OFFSET: Final = IntAttribute(semconv.OFFSET)
_PIPELINE: Final = TextAttribute(semconv.PIPELINE)
_ORIGIN: Final = IntAttribute(semconv.ORIGIN)
_WAIT: Final = DoubleAttribute(semconv.WAIT)
_PUBLISH: Final = DoubleAttribute(semconv.PUBLISH)
_TYPE: Final = TextAttribute(semconv.EVENT_TYPE)
_TOMBSTONE: Final = attribute(SPAN_ATTRIBUTE, semconv.TOMBSTONE, True)
_END_TO_END: Final = DoubleAttribute(semconv.END_TO_END)
_OK: Final = attribute(SPAN_ATTRIBUTE, semconv.OUTCOME, OK)

_IDS: Final = _ID.prefixes
_SUBJECTS: Final = _SUBJECT.prefixes
_BEFORE_PUBLISH: Final = _PUBLISH.prefix
_BEFORE_LAG: Final = _END_TO_END.prefix
# Whatever is above a process span is in another process.
_END_BELOW: Final = _OK + REMOTE + START_TIME
_END_OF_ROOT: Final = _OK + LOCAL + START_TIME
_end: Final = packer(f"<{len(_BEFORE_LAG)}sd{len(_END_BELOW)}sQcQ")
# It raises for what is no bytes: no other check costs as little.
_is_ascii: Final = bytes.isascii
_time_ms: Final = cloudevents.time_ms


class ProcessContent(FlatSpan):
    """What a process span says.

    Attributes:
        event_id: The header of the event's id; `None` without one.
        subject: The header of its subject.
        created: The header of its creation.
        offset: The record's offset.
        timestamp: Its timestamp, unix ms.
        tombstone: Whether it has no value.
        pipeline: The name of its flow; `None` without one.
        origin_ms: The origin of its flow, unix ms; `None` without one.
        ended_well: Whether the handling has ended with the outcome `ok`.
        mixed_type: The header of its type, if its plan is for several; else `None`.
        early: What processors set on the span at its start, before all else; else `None`.
        starting: Whether processors see it at its start, without the message's own attributes.
    """

    if not TYPE_CHECKING:
        __slots__ = (
            "created", "ended_well", "event_id", "offset", "origin_ms", "pipeline", "subject",
            "timestamp", "tombstone",
        )  # fmt: skip

    plan: ProcessPlan
    event_id: Any
    subject: Any
    created: object
    offset: int
    timestamp: int
    tombstone: bool
    pipeline: str | None
    origin_ms: int | None
    ended_well: bool
    mixed_type: bytes | None = None
    early: dict[str, AttributeValue] | None = None
    starting: bool = False

    own_names = frozenset(
        {
            semconv.MESSAGE_ID, semconv.CONVERSATION_ID, semconv.OFFSET, semconv.PIPELINE,
            semconv.ORIGIN, semconv.WAIT, semconv.PUBLISH, semconv.TOMBSTONE, semconv.END_TO_END,
            semconv.OUTCOME, semconv.EVENT_TYPE,
        }
    )  # fmt: skip

    def own_attributes(self) -> dict[str, AttributeValue]:
        """Return the message's own attributes, in the order of the general code."""
        if self.starting:
            return {}
        attributes: dict[str, AttributeValue] = {}
        if (event_id := text(self.event_id, cloudevents.MAX_VALUE)) is not None:
            attributes[semconv.MESSAGE_ID] = event_id
        if (subject := text(self.subject, cloudevents.MAX_VALUE)) is not None:
            attributes[semconv.CONVERSATION_ID] = subject
        attributes[semconv.OFFSET] = self.offset
        if self.pipeline is not None:
            attributes[semconv.PIPELINE] = self.pipeline
        if self.origin_ms is not None:
            attributes[semconv.ORIGIN] = self.origin_ms
        attributes[semconv.WAIT] = self._wait_s()
        if (publish_s := self._publish_s()) is not None:
            attributes[semconv.PUBLISH] = publish_s
        attributes |= described(self.mixed_type)
        if self.tombstone:
            attributes[semconv.TOMBSTONE] = True
        return attributes if self.early is None else updated({**self.early}, attributes)

    def end_attributes(self) -> dict[str, AttributeValue]:
        """Return what became known at the end; empty before, and where the general code ended."""
        if not self.ended_well:
            return {}
        attributes: dict[str, AttributeValue] = {}
        if self.origin_ms is not None:
            attributes[semconv.END_TO_END] = self._lag_s(self.origin_ms)
        attributes[semconv.OUTCOME] = OK
        return attributes

    def encode_usual(self) -> bytes | None:  # noqa: C901, PLR0912 - calls cost more
        """Return the span in OTLP's wire format, if nothing about it is unusual; else `None`."""
        plan = self.plan
        shared, origin_ms, offset = plan.encoded, self.origin_ms, self.offset
        if shared is None or origin_ms is None or self.tombstone or not self.ended_well:
            return None
        event_id, subject, added = self.event_id, self.subject, self.added
        before_id = before_subject = b""
        if event_id is None:
            event_id = b""
        elif _is_ascii(event_id):
            before_id = _IDS[len(event_id)]
        else:
            return None
        if subject is None:
            subject = b""
        elif _is_ascii(subject):
            before_subject = _SUBJECTS[len(subject)]
        else:
            return None
        high, mark, first, pipeline, before, between, after, own, undated = plan.numbers
        rest = origin_ms - first
        if offset >> BITS != high or not 0 <= rest < ORIGINS or self.pipeline != pipeline:
            plan.numbers = numbers = _numbers(offset, origin_ms, self.pipeline)
            high, mark, first, pipeline, before, between, after, own, undated = numbers
            rest = origin_ms - first
        octet = offset & LOW | mark
        start_ns, end_ns, timestamp = self.start_ns, self.end_ns, self.timestamp
        start_ms = start_ns // 1_000_000
        wait_ms = start_ms - timestamp
        if wait_ms < 0:  # noqa: PLR1730 - `max` costs three times as much
            wait_ms = 0
        lag_ms = end_ns // 1_000_000 - origin_ms  # type: ignore[operator]  # it has ended
        if lag_ms < 0:  # noqa: PLR1730 - as above
            lag_ms = 0
        created_ms = _time_ms(self.created)
        window = plan.telemetry.window
        if created_ms is None or not (
            # As `OriginWindow.holds`, which is asked where the times are not close.
            -MAX_SKEW_MS <= start_ms - created_ms <= window.max_age_ms
            or window.holds(created_ms, timestamp, start_ms)
        ):
            known = undated(
                before, octet, between, rest + (rest & UPPER) + OCTETS, after, wait_ms / 1000
            )
        else:
            publish_ms = timestamp - created_ms
            if publish_ms < 0:  # noqa: PLR1730 - as above
                publish_ms = 0
            known = own(
                before, octet, between, rest + (rest & UPPER) + OCTETS, after, wait_ms / 1000,
                _BEFORE_PUBLISH, publish_ms / 1000,
            )  # fmt: skip
        above = self.above
        if above is None:
            ids = unhexlify(b"0a10%b1208%b" % read_own_ids(self.traceparent))
            end = _END_OF_ROOT
        else:
            ids = unhexlify(b"0a10%b1208%b2208%b" % read_ids(self.traceparent + above))
            end = _END_BELOW
        return b"".join(
            (
                ids, shared, before_id, event_id, before_subject, subject, known,
                encoded_attributes(added) if added else b"",
                _end(_BEFORE_LAG, lag_ms / 1000, end, start_ns, END_TIME, end_ns),
            )
        )  # fmt: skip

    def encode_own(self, fields: list[bytes]) -> None:
        """Append `own_attributes` as attributes of a span in OTLP's wire format."""
        if self.early is not None:
            fields += (attribute(SPAN_ATTRIBUTE, *each) for each in self.own_attributes().items())
            return
        if (event_id := _utf8(self.event_id)) is not None:
            _ID.append(fields, event_id)
        if (subject := _utf8(self.subject)) is not None:
            _SUBJECT.append(fields, subject)
        _OFFSET.append(fields, self.offset)
        if self.pipeline is not None:
            _PIPELINE.append(fields, self.pipeline.encode())
        if self.origin_ms is not None:
            _ORIGIN.append(fields, self.origin_ms)
        _WAIT.append(fields, self._wait_s())
        if (publish_s := self._publish_s()) is not None:
            _PUBLISH.append(fields, publish_s)
        if self.mixed_type is not None:
            _TYPE.append(fields, self.mixed_type)
        if self.tombstone:
            fields.append(_TOMBSTONE)

    def encode_end(self, fields: list[bytes]) -> None:
        """Append `end_attributes` as attributes of a span in OTLP's wire format."""
        if not self.ended_well:
            return
        if self.origin_ms is not None:
            _END_TO_END.append(fields, self._lag_s(self.origin_ms))
        fields.append(_OK)

    def _wait_s(self) -> float:
        return max(0, self.start_ns // 1_000_000 - self.timestamp) / 1000

    def _publish_s(self) -> float | None:
        created_ms = cloudevents.time_ms(self.created)
        if created_ms is None:
            return None
        now_ms, window = self.start_ns // 1_000_000, self.plan.telemetry.window
        if not window.holds(created_ms, self.timestamp, now_ms):
            return None
        return max(0, self.timestamp - created_ms) / 1000

    def _lag_s(self, origin_ms: int) -> float:
        return max(0, (self.end_ns or 0) // 1_000_000 - origin_ms) / 1000


def _numbers(offset: int, origin_ms: int, pipeline: str | None) -> ProcessNumbers:
    """Make what spans with such numbers share.

    Raises:
        ValueError: The origin is too small: it has no other octets than those that differ.
    """
    mark, before, end_of_offset = _OFFSET.by_octet(offset)
    first_origin, before_origin, end_of_origin = _ORIGIN.near(origin_ms, 2)
    fields = [end_of_offset]
    if pipeline is not None:
        _PIPELINE.append(fields, pipeline.encode())
    fields.append(before_origin)
    between, after = b"".join(fields), end_of_origin + _WAIT.prefix
    layout = f"<{len(before)}sB{len(between)}sH{len(after)}sd"
    return (
        offset >> BITS, mark, first_origin, pipeline, before, between, after,
        packer(f"{layout}{len(_BEFORE_PUBLISH)}sd"), packer(layout),
    )  # fmt: skip


def _utf8(header: object) -> bytes | None:
    """Return a header that is a text within bounds, as `text` decodes it; else `None`."""
    if type(header) is bytes and len(header) <= cloudevents.MAX_VALUE and header.isascii():
        return header
    return header if text(header, cloudevents.MAX_VALUE) is not None else None  # type: ignore[return-value]  # bytes
