"""What the span of a send says: the attributes of its message, as values and in OTLP's wire format.

The span of an ordinary send is written in two steps, as a process span is: what is known at its
start, and its place in the topic, which became known at its end.
"""

from __future__ import annotations

from binascii import unhexlify
from typing import TYPE_CHECKING, Any, Final

from tracing.core import semconv
from tracing.core.otlp_wire import (
    END_TIME,
    LOCAL,
    REMOTE,
    SPAN_ATTRIBUTE,
    START_TIME,
    IntAttribute,
    TextAttribute,
    attribute,
    packer,
    read_ids,
    read_own_ids,
)
from tracing.headers.cloudevents import MAX_VALUE
from tracing.headers.codec import text
from tracing.headers.flow import parse_origin
from tracing.messaging.flat.near import BITS, LOW, NO_PLACE, OCTETS, ORIGINS, UPPER
from tracing.spans.flat import FlatSpan

if TYPE_CHECKING:
    from tracing.core.semconv import AttributeValue
    from tracing.messaging.flat.near import SendFlow, SendPlace
    from tracing.messaging.flat.send_plan import SendPlan

_PIPELINE: Final = TextAttribute(semconv.PIPELINE)
_ORIGIN: Final = IntAttribute(semconv.ORIGIN)
_MESSAGE_ID: Final = TextAttribute(semconv.MESSAGE_ID)
_CONVERSATION_ID: Final = TextAttribute(semconv.CONVERSATION_ID)
_PARTITION: Final = TextAttribute(semconv.PARTITION)
_OFFSET: Final = IntAttribute(semconv.OFFSET)

_IDS: Final = _MESSAGE_ID.prefixes
_SUBJECTS: Final = _CONVERSATION_ID.prefixes
_START_BELOW_REMOTE: Final = REMOTE + START_TIME
_START: Final = LOCAL + START_TIME
_MAX_PLACES: Final = 64
_is_ascii: Final = bytes.isascii


class SendContent(FlatSpan):
    """What the span of a send says.

    Attributes:
        pipeline: The pipeline of its flow, as baggage has it.
        origin: The origin of its flow, as baggage has it, or unix ms as a number.
        message_id: The event's id, as the header has it.
        subject: What the event is about, as the header has it.
        rare: Attributes that few messages have; `None` where it has none of them.
        placed: Partition and offset of the record; `None` until the broker acknowledges it.
        send: What it shares with others.
    """

    if not TYPE_CHECKING:
        __slots__ = ("message_id", "origin", "pipeline", "placed", "rare", "send", "subject")

    own_names = frozenset(
        {
            semconv.PIPELINE, semconv.ORIGIN, semconv.MESSAGE_ID, semconv.CONVERSATION_ID,
            semconv.TOMBSTONE, semconv.PARTITION, semconv.OFFSET,
        }
    )  # fmt: skip

    pipeline: object
    origin: object
    message_id: bytes | None
    subject: bytes | None
    rare: dict[str, AttributeValue] | None
    placed: tuple[Any, Any] | None
    send: SendPlan

    def own_attributes(self) -> dict[str, AttributeValue]:
        """Describe the flow, the event and what is rare."""
        attributes: dict[str, AttributeValue] = {}
        if isinstance(self.pipeline, str):
            attributes[semconv.PIPELINE] = self.pipeline
        if (origin_ms := _origin_ms(self.origin)) is not None:
            attributes[semconv.ORIGIN] = origin_ms
        if (written := text(self.message_id, MAX_VALUE)) is not None:
            attributes[semconv.MESSAGE_ID] = written
        if (written := text(self.subject, MAX_VALUE)) is not None:
            attributes[semconv.CONVERSATION_ID] = written
        if self.rare is not None:
            attributes.update(self.rare)
        return attributes

    def end_attributes(self) -> dict[str, AttributeValue]:
        """Describe where the record is."""
        if self.placed is None:
            return {}
        partition, offset = self.placed
        return {semconv.PARTITION: str(partition), semconv.OFFSET: offset}

    def encode_usual(self) -> bytes | None:  # noqa: C901, PLR0912 - calls cost more
        """Return the span in OTLP's wire format, if nothing about it is unusual; else `None`."""
        shared, origin, placed = self.plan.encoded, self.origin, self.placed
        # Added attributes may have the partition; see `SentSpan.announce`.
        if shared is None or placed is None or self.rare is not None or self.added is not None:
            return None
        if type(origin) is not int:
            origin = parse_origin(origin)
            if origin is None:
                return None
        event_id, subject = self.message_id, self.subject
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
        topic = self.send.topic
        first_origin, pipeline, before_origin, after_origin, write_flow = topic.flow
        rest = origin - first_origin
        if not 0 <= rest < ORIGINS or self.pipeline != pipeline:
            topic.flow = flow = _flow(origin, self.pipeline)
            first_origin, pipeline, before_origin, after_origin, write_flow = flow
            rest = origin - first_origin
        partition, offset = placed
        places = topic.places
        try:
            high, mark, before_offset, after_offset, write_end = places[partition]
        except KeyError:
            high, mark, before_offset, after_offset, write_end = NO_PLACE
        if offset >> BITS != high:
            if len(places) >= _MAX_PLACES:
                places.clear()
            places[partition] = place = _place(partition, offset)
            high, mark, before_offset, after_offset, write_end = place
        above, start = self.above, _START
        if above is None:
            ids = unhexlify(b"0a10%b1208%b" % read_own_ids(self.traceparent))
        else:
            ids = unhexlify(b"0a10%b1208%b2208%b" % read_ids(self.traceparent + above))
            if self.above_is_remote:
                start = _START_BELOW_REMOTE
        return b"".join(
            (
                ids, shared,
                write_flow(before_origin, rest + (rest & UPPER) + OCTETS, after_origin),
                before_id, event_id, before_subject, subject,
                write_end(
                    before_offset, offset & LOW | mark, after_offset,
                    start, self.start_ns, END_TIME, self.end_ns,
                ),
            )
        )  # fmt: skip

    def encode_own(self, fields: list[bytes]) -> None:
        """Append `own_attributes` in OTLP's wire format."""
        if isinstance(self.pipeline, str):
            _PIPELINE.append(fields, self.pipeline.encode())
        if (origin_ms := _origin_ms(self.origin)) is not None:
            _ORIGIN.append(fields, origin_ms)
        message_id, subject = self.message_id, self.subject
        if message_id is not None and text(message_id, MAX_VALUE) is not None:
            _MESSAGE_ID.append(fields, message_id)
        if subject is not None and text(subject, MAX_VALUE) is not None:
            _CONVERSATION_ID.append(fields, subject)
        if self.rare is not None:
            rare = self.rare
            if semconv.PARTITION in rare and self.placed is not None:
                rare = {**rare, semconv.PARTITION: str(self.placed[0])}
            for name, value in rare.items():
                fields.append(attribute(SPAN_ATTRIBUTE, name, value))

    def encode_end(self, fields: list[bytes]) -> None:
        """Append `end_attributes` in OTLP's wire format."""
        if self.placed is not None:
            partition, offset = self.placed
            # It is there already where the application chose it; see `announce` for `added`.
            known = self.rare or self.added
            if known is None or semconv.PARTITION not in known:
                _PARTITION.append(fields, str(partition).encode())
            _OFFSET.append(fields, offset)


def _flow(origin_ms: int, pipeline: object) -> SendFlow:
    """Make what spans with such an origin share; raises `ValueError` if it is too small."""
    first, before, after = _ORIGIN.near(origin_ms, 2)
    if isinstance(pipeline, str):
        fields: list[bytes] = []
        _PIPELINE.append(fields, pipeline.encode())
        before = b"".join((*fields, before))
    return first, pipeline, before, after, packer(f"<{len(before)}sH{len(after)}s")


def _place(partition: int, offset: int) -> SendPlace:
    """Make what spans with such an offset share."""
    fields: list[bytes] = []
    _PARTITION.append(fields, str(partition).encode())
    mark, before, after = _OFFSET.by_octet(offset)
    before = b"".join((*fields, before))
    layout = f"<{len(before)}sB{len(after)}s{len(_START)}sQcQ"
    return offset >> BITS, mark, before, after, packer(layout)


def _origin_ms(origin: object) -> int | None:
    return origin if isinstance(origin, int) else parse_origin(origin)
