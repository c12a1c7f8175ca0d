"""The identity of an event: the same for every delivery, by whichever route."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from tracing.headers import cloudevents
from tracing.headers.codec import latest, reversed_pairs
from tracing.headers.dead_letter import Replay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.headers.codec import Record

MAX_IDENTITY: Final = 255
"""Bytes of each part of an identity; a longer one is hashed, so that it stays different."""

_HASHED: Final = "sha256:"
_PLACE: Final = b"kafka:"
"""Prefix of sources that are topics; their ids are places."""


@dataclass(frozen=True, slots=True)
class EventIdentity:
    """Identifies an event: two records with the same identity are the same event.

    Attributes:
        source: Where the event comes from: the `ce_source` header, or its hash where it looks like
            a topic; of a record that is no CloudEvent `kafka:{topic}`.
        id: Identifies it within its source: the `ce_id` header; of a record that is no
            CloudEvent `{partition}/{offset}`, and of one that was replayed those of the record
            that first failed, however many dead letters and replays there were of it.
    """

    source: str
    id: str

    @classmethod
    def of(cls, record: Record) -> EventIdentity:
        """Read a record's identity. Never raises, whatever the headers hold.

        Both parts have at most `MAX_IDENTITY` bytes and no NUL, so that every database can keep
        them; a longer part, or one that is not text, is replaced by its SHA-256.
        """
        headers = record.headers
        present = latest(headers)
        source = _last(cloudevents.SOURCE, headers, present)
        event_id = _last(cloudevents.ID, headers, present)
        if source is not None and event_id is not None:
            # No event of another producer has the identity of a record that is still to come.
            named = _hashed(source) if source.startswith(_PLACE) else bounded(source)
            return cls(named, bounded(event_id))
        topic = _PLACE + record.topic.encode("utf-8", "backslashreplace")
        replay = Replay.of(record)
        if replay is not None:
            return cls(bounded(topic), replay.id[len(record.topic) + 1 :])
        return cls(bounded(topic), f"{record.partition}/{record.offset}")


def bounded(value: bytes) -> str:
    """Write a part of an identity as text of at most `MAX_IDENTITY` bytes; different stays so."""
    # A text that looks like a hash is hashed as well, so that none can imitate the hash of another.
    if len(value) <= MAX_IDENTITY and b"\0" not in value and not value.startswith(b"sha256:"):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return _hashed(value)


def _hashed(value: bytes) -> str:
    return _HASHED + sha256(value).hexdigest()


def _last(name: str, headers: object, present: Mapping[str, object]) -> bytes | None:
    """Return the last header of a name that is not empty."""
    if name not in present:
        return None
    value = present[name]
    if isinstance(value, bytes) and value:
        return value
    for other, earlier in reversed_pairs(headers):
        if other == name and isinstance(earlier, bytes) and earlier:
            return earlier
    return None
