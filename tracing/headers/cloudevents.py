"""CloudEvents 1.0 over Kafka, binary content mode: event metadata in `ce_` headers.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md.
`ce_source` and `ce_id` together identify an event; consumers deduplicate on them.
"""

import time as clock
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import Struct
from struct import error as struct_error
from typing import Any, Final
from uuid import UUID

from tracing.core import semconv
from tracing.core.ids import random_id
from tracing.core.semconv import AttributeValue
from tracing.core.text import plain_text, text_of
from tracing.headers.codec import Header, latest, text

SPECVERSION: Final = "ce_specversion"
ID: Final = "ce_id"
SOURCE: Final = "ce_source"
TYPE: Final = "ce_type"
TIME: Final = "ce_time"
SUBJECT: Final = "ce_subject"
CONTENT_TYPE: Final = "content-type"

_SPECVERSION: Final = (SPECVERSION, b"1.0")

_MAX_TIME: Final = 64
_in_parts: Final[Any] = Struct("20s3ss").unpack  # as in 2026-01-02T03:04:05.678Z
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MILLISECONDS: Final = {b"%03d" % number: number for number in range(1000)}
MAX_VALUE: Final = 1024
"""Bytes of one attribute that are read; a longer one counts as absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """The metadata of a received event. `id` and `source` together are its identity.

    Attributes:
        id: Identifies the event within its source.
        source: The context in which the event happened, a URI reference.
        type: What kind of event it is.
        subject: What it is about, within the source; for example an order id.
        time: When it happened, RFC 3339, as written by the sender.
        content_type: Media type of the value.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    content_type: str | None = None

    @classmethod
    def from_headers(cls, headers: object) -> "CloudEvent | None":
        """Read an event's metadata from record headers; `None` where a required part is missing.

        Never raises, whatever the headers hold.
        """
        present = latest(headers)
        identity = [text(present.get(name), MAX_VALUE) for name in (ID, SOURCE, TYPE)]
        event_id, source, kind = identity
        if not event_id or not source or not kind:
            return None
        return cls(
            id=event_id,
            source=source,
            type=kind,
            subject=text(present.get(SUBJECT), MAX_VALUE),
            time=text(present.get(TIME), MAX_VALUE),
            content_type=text(present.get(CONTENT_TYPE), MAX_VALUE),
        )


def cloudevent(
    *,
    type: str,  # noqa: A002 - the attribute's own name in the specification
    source: str | None = None,
    id: str | UUID | int | None = None,  # noqa: A002 - as above
    subject: str | UUID | int | None = None,
    time: datetime | None = None,
    content_type: str | None = None,
) -> list[Header]:
    """Make the headers of an event; what is left out is filled in when the event is sent.

    Args:
        type: What kind of event it is, for example `OrderPlaced`.
        source: The context in which it happened; by default the telemetry's source.
        id: Unique within the source; by default random.
        subject: What it is about. It shows up on spans as the conversation id, so that all
            messages about one order are found together: use an id, never personal data.
        time: When it happened; by default when it is sent.
        content_type: Media type of the value, for example `application/json`.

    Raises:
        TypeError: An argument has no one obvious text; the message names it.
        ValueError: `type`, `source` or `id` is empty, a text cannot be written as UTF-8, or `time`
            has no time zone or cannot be written in UTC.
    """
    values = {
        SPECVERSION: "1.0",
        TYPE: plain_text(type, "type"),
        SOURCE: None if source is None else plain_text(source, "source"),
        ID: None if id is None else text_of(id, "id"),
        SUBJECT: None if subject is None else text_of(subject, "subject"),
        TIME: None if time is None else _written(time),
        CONTENT_TYPE: None if content_type is None else plain_text(content_type, "content_type"),
    }
    if not values[TYPE]:
        raise ValueError("a CloudEvent needs a type, for example type='OrderPlaced'")
    for name in (SOURCE, ID):
        if values[name] == "":
            raise ValueError(
                f"{_argument(name)} must not be empty; leave it out to have one filled in"
            )
    return [(name, _encoded(name, value)) for name, value in values.items() if value is not None]


def _written(time: object) -> str:
    if not isinstance(time, datetime):
        raise TypeError(
            f"time must be a datetime with a time zone, not {time.__class__.__name__}; a text is "
            "read by datetime.fromisoformat()"
        )
    if time.utcoffset() is None:
        raise ValueError("a CloudEvent's time needs a time zone, for example datetime.now(UTC)")
    try:
        return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise ValueError("time is before year 1 or after year 9999 in UTC") from None


def _encoded(header: str, value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{_argument(header)} cannot be written as UTF-8: it holds half of a surrogate pair"
        ) from None


def _argument(header: str) -> str:
    return header.removeprefix("ce_").replace("-", "_")


class Completion:
    """Completes the headers of messages from one source to one topic to those of a CloudEvent.

    Attributes:
        constant: The headers that are the same for all of them.
    """

    __slots__ = ("constant",)

    def __init__(self, source: bytes, event_type: str) -> None:
        self.constant: list[Header] = [
            _SPECVERSION,
            (SOURCE, source),
            (TYPE, event_type.encode()),
        ]

    def add_to(self, headers: list[Header], present: Mapping[str, object], now_ms: int) -> bytes:
        """Add the headers that are not `present`, for an event at `now_ms`, unix ms.

        Returns:
            The event's id where it was made here, else nothing.
        """
        made = b""
        if ID not in present:
            made = random_id()
            headers.append((ID, made))
        if TIME not in present:
            headers.append(time_header(now_ms))
        if present:
            headers += [header for header in self.constant if header[0] not in present]
        else:
            headers += self.constant
        return made


def identity(present: Mapping[str, object]) -> dict[str, AttributeValue]:
    """Describe an event on a span: its id, and its subject as the conversation id."""
    attributes: dict[str, AttributeValue] = {}
    if (event_id := text(present.get(ID), MAX_VALUE)) is not None:
        attributes[semconv.MESSAGE_ID] = event_id
    if (subject := text(present.get(SUBJECT), MAX_VALUE)) is not None:
        attributes[semconv.CONVERSATION_ID] = subject
    return attributes


def time_ms(header: object) -> int | None:
    """Read a `ce_time`, unix ms; `None` where it is no moment with a time zone. Never raises."""
    global _read_second  # noqa: PLW0603 - a cache of one entry
    if header is None:
        return None
    try:
        # The format of this library: many events differ only in their milliseconds.
        second, milliseconds, zone = _in_parts(header)
        read, read_ms = _read_second
        if second == read and zone == b"Z":
            return read_ms + _MILLISECONDS[milliseconds]
    except (TypeError, struct_error, KeyError):
        second = zone = b""
    value = text(header, _MAX_TIME)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        # Cut, as a record's timestamp is: rounded up, an event would be younger than its record.
        moment_ms = None if moment.tzinfo is None else (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        return None
    if moment_ms is not None and zone == b"Z" and second.endswith(b"."):
        _read_second = (second, moment_ms - moment_ms % 1000)
    return moment_ms


# All events of a second share all but the milliseconds, and at a high rate many share those too.
# Tuples, so that a thread never pairs one time with another's text.
_second: tuple[int, bytes] = (-1, b"")
_read_second: tuple[bytes, int] = (b"", 0)

MILLISECONDS: Final = tuple(b"%03dZ" % number for number in range(1000))
"""What the times of this library end with, by their milliseconds."""


def time_header(now_ms: int) -> Header:
    """Return the header of an event at a moment, unix ms."""
    global _second  # noqa: PLW0603 - a cache of one entry
    second, milliseconds = divmod(now_ms, 1000)
    cached, written = _second
    if second != cached:
        written = time_prefix(second)
        _second = (second, written)
    return TIME, written + MILLISECONDS[milliseconds]


def time_prefix(second: int) -> bytes:
    """Return what the times of a second, unix s, begin with; their milliseconds follow."""
    return clock.strftime("%Y-%m-%dT%H:%M:%S.", clock.gmtime(second)).encode()
