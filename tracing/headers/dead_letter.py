"""The headers of dead letters and of replayed records: where from, why, and for which group.

The names follow the pattern of Kafka Streams' KIP-1034. All times are unix ms.
Source: https://cwiki.apache.org/confluence/display/KAFKA/KIP-1034.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any, Final

from tracing.headers.codec import MAX_SCANNED, latest, text, without

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.headers.codec import Header

ERRORS: Final = "__pipeline.errors."

WRITTEN_BY: Final = "pipeline-tracing"
"""`Provenance.written_by` of this library's own dead letters."""

TOPIC: Final = ERRORS + "topic"
PARTITION: Final = ERRORS + "partition"
OFFSET: Final = ERRORS + "offset"
TIMESTAMP: Final = ERRORS + "timestamp"
GROUP: Final = ERRORS + "group"
EXCEPTION: Final = ERRORS + "exception"
MESSAGE: Final = ERRORS + "message"
STACKTRACE: Final = ERRORS + "stacktrace"
ATTEMPTS: Final = ERRORS + "attempts"
FIRST_FAILED_AT: Final = ERRORS + "first_failed_at"
FAILED_AT: Final = ERRORS + "failed_at"
UNREADABLE: Final = ERRORS + "unreadable"

ERROR_HEADERS: Final = frozenset(
    {TOPIC, PARTITION, OFFSET, TIMESTAMP, GROUP, EXCEPTION, MESSAGE, STACKTRACE, ATTEMPTS,
     FIRST_FAILED_AT, FAILED_AT, UNREADABLE}
)  # fmt: skip
"""What a dead letter has on top of the record's own headers."""

REPLAY_GROUP: Final = "__pipeline.replay.group"
REPLAY_ID: Final = "__pipeline.replay.id"
REPLAY_HEADERS: Final = frozenset({REPLAY_GROUP, REPLAY_ID})
"""The marks of a replayed record. The replay of dead letters writes them, and no other send."""

_NUMBERS: Final = (PARTITION, OFFSET, TIMESTAMP, ATTEMPTS, FIRST_FAILED_AT, FAILED_AT)
_TEXTS: Final = (TOPIC, GROUP, EXCEPTION, MESSAGE)
_MAX_DIGITS: Final = 19
MAX_TEXT: Final = 4096
MAX_STACKTRACE: Final = 65_536
# One way to write a place alone, so that a place is one identity.
_place = re.compile(r"(.+)/(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,18})", re.DOTALL).fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The origin of a dead letter, and its last failure.

    Attributes:
        topic: The topic of the record that failed.
        partition: Its partition; -1 where its broker has none, and then without a header.
        offset: Its offset; as `partition`.
        timestamp_ms: Its timestamp; -1 where it had none.
        group: The consumer group that gave it up; empty where the dead letter does not say.
        exception: The error's type.
        message: The error's message, cut; redacted if this library wrote it.
        attempts: How often the group tried, this last time; 0 where unknown.
        first_failed_at_ms: When an attempt first failed; a replay does not change it. 0 where
            unknown.
        failed_at_ms: When the last attempt failed. Other systems do not write it: then it is the
            dead letter's timestamp, which Kafka Connect and Kafka Streams copy from the record, so
            that these failed then or later.
        stacktrace: Where the error was raised; only if requested.
        unreadable: Of a record that could not be read, what its dead letter holds: `record`, with
            escaped header names, or `bytes`, which are no record.
        written_by: What wrote the dead letter: one of the names in
            `tracing.headers.dead_letter_formats`.
        details: What else its writer says, as names and values; for example Kafka Connect's
            connector, task and stage.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    group: str
    exception: str
    message: str
    attempts: int
    first_failed_at_ms: int
    failed_at_ms: int
    stacktrace: str | None = None
    unreadable: str | None = None
    written_by: str = WRITTEN_BY
    details: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_headers(cls, headers: object) -> Provenance | None:
        """Read a dead letter of this library; `None` where it is none. Never raises.

        Those of other systems: `tracing.headers.dead_letter_formats`.
        """
        present = latest(headers)
        texts = [text(present.get(name), MAX_TEXT) for name in _TEXTS]
        numbers = [number(present.get(name)) for name in _NUMBERS]
        topic, group, exception, message = texts
        partition, offset, timestamp_ms, attempts, first_failed_at_ms, failed_at_ms = numbers
        if not topic or group is None or partition is None or offset is None:
            return None
        return cls(
            topic=topic,
            partition=partition,
            offset=offset,
            timestamp_ms=-1 if timestamp_ms is None else timestamp_ms,
            group=group,
            exception=exception or "",
            message=message or "",
            attempts=attempts or 0,
            first_failed_at_ms=first_failed_at_ms or 0,
            failed_at_ms=failed_at_ms or 0,
            stacktrace=text(present.get(STACKTRACE), MAX_STACKTRACE),
            unreadable=text(present.get(UNREADABLE), MAX_TEXT),
        )

    def headers(self) -> list[Header]:
        """Write it as headers."""
        fields = {
            TOPIC: self.topic,
            PARTITION: self.partition,
            OFFSET: self.offset,
            TIMESTAMP: self.timestamp_ms,
            GROUP: self.group,
            EXCEPTION: self.exception,
            MESSAGE: self.message,
            ATTEMPTS: self.attempts,
            FIRST_FAILED_AT: self.first_failed_at_ms,
            FAILED_AT: self.failed_at_ms,
        }
        if self.partition < 0:
            del fields[PARTITION], fields[OFFSET]
        if self.stacktrace is not None:
            fields[STACKTRACE] = self.stacktrace
        if self.unreadable is not None:
            fields[UNREADABLE] = self.unreadable
        return [
            (name, str(value).encode("utf-8", "backslashreplace")) for name, value in fields.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The mark of a replayed record.

    Attributes:
        group: The only consumer group that processes it; all others skip it.
        id: Where the record was when it first failed, `{topic}/{partition}/{offset}`; it stays the
            same however often the record fails and is replayed.
    """

    group: str
    id: str

    @classmethod
    def from_headers(cls, headers: object) -> Replay | None:
        """Read a record's headers; `None` where it was not replayed. Never raises."""
        present = latest(headers)
        # Hardly any record is a replayed one.
        if REPLAY_GROUP not in present:
            return None
        group = text(present[REPLAY_GROUP], MAX_TEXT)
        if group is None:
            return None
        return cls(group=group, id=text(present.get(REPLAY_ID), MAX_TEXT) or "")

    @classmethod
    def of(cls, record: Any) -> Replay | None:
        """Return how a record was replayed; `None` where it was not. Never raises.

        Marks hold only where they fit the record: a replay goes back to the topic and partition
        of the record that failed, and lands behind it. So a service that hands headers on has
        made another event, which is for all of its readers, and no mark names an event that is
        still to come.
        """
        replay = cls.from_headers(record.headers)
        if replay is None:
            return None
        failed = replay.place
        fits = (
            failed is not None
            and failed[:2] == (record.topic, record.partition)
            and failed[2] < record.offset
        )
        return replay if fits else None

    @property
    def place(self) -> tuple[str, int, int] | None:
        """The topic, partition and offset that the id names; `None` where it names none."""
        named = _place(self.id)
        return None if named is None else (named[1], int(named[2]), int(named[3]))

    def headers(self) -> list[Header]:
        """Write it as headers."""
        return [(REPLAY_GROUP, self.group.encode()), (REPLAY_ID, self.id.encode())]


def unmarked(headers: list[Header], present: Mapping[str, object]) -> list[Header]:
    """Leave the marks of a replay out of an ordinary send, which is a new event for all groups.

    Args:
        headers: What the application sends.
        present: `latest(headers)`.
    """
    if REPLAY_GROUP in present or REPLAY_ID in present or len(headers) > MAX_SCANNED:
        return without(headers, REPLAY_HEADERS)
    return headers


def first_failed_at_ms(record: Any) -> int | None:
    """Return when a replayed record first failed, unix ms; `None` if unknown. Never raises."""
    if Replay.of(record) is None:
        return None
    moment_ms = number(latest(record.headers).get(FIRST_FAILED_AT))
    return None if moment_ms is None or not 0 < moment_ms <= time() * 1000 else moment_ms


def number(value: object) -> int | None:
    """Return the whole number that a value holds as decimal text; `None` where it holds none."""
    if not isinstance(value, bytes) or len(value) > _MAX_DIGITS:
        return None
    digits = value.removeprefix(b"-")
    return int(value) if digits.isdigit() else None
