"""Which record is a dead letter, and which topic holds dead letters, whatever wrote them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tracing.headers import dead_letter
from tracing.headers import dead_letter_systems as systems
from tracing.headers.codec import reversed_pairs
from tracing.headers.dead_letter import Provenance
from tracing.headers.dead_letter_systems import System

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tracing.headers.codec import Header
    from tracing.headers.dead_letter_systems import Decoder

ORIGIN_FIELDS: Final[Mapping[str, tuple[str, Decoder]]] = {
    "topic": ("topic", systems.name),
    "partition": ("partition", systems.integer),
    "offset": ("offset", systems.integer),
    "timestamp": ("timestamp_ms", systems.moment),
    "group": ("group", systems.name),
    "error": ("exception", systems.message),
    "message": ("message", systems.message),
    "attempts": ("attempts", systems.integer),
    "failed-at": ("failed_at_ms", systems.moment),
}
"""What own headers can hold, with the field of `Provenance` and the decoder of each."""

_IN_NAMES: Final = frozenset({"topic", "group"})


class DeadLetterFormats:
    """Reads the provenance of dead letters: of this library, of other systems, and of one's own.

    Known by their headers: Kafka Streams (KIP-1034), share groups (KIP-1191), Kafka Connect, and
    Spring for Apache Kafka. If a record has the headers of several systems, the last ones hold:
    each system appends its own.

    Args:
        topics: Regular expressions of the names of further dead-letter topics, as a whole. Kafka
            Streams and Kafka Connect let users choose any name. The groups `(?P<topic>…)` and
            `(?P<group>…)` say which part of the name is the record's topic and consumer group; a
            record there is a dead letter of that topic even if no header says so.
        headers: The names of own headers, by what they hold: one of `topic`, `partition`,
            `offset`, `timestamp`, `group`, `error`, `message`, `attempts` and `failed-at`. Numbers
            are decimal text or Java's ints and longs; times are unix ms or ISO 8601.

    Raises:
        ValueError: A regular expression or the name of a field is not valid.

    Thread and task safety: immutable.
    """

    __slots__ = ("_by_header", "_own", "_topics")

    def __init__(
        self, topics: Iterable[str] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        self._topics = tuple(_compiled(each) for each in topics)
        self._own = _own_system(headers or {})
        self._by_header = {
            header: system
            for system in (*systems.SYSTEMS, self._own)
            for header, _ in system.fields.get("topic", ())
        }

    def provenance(self, headers: object, *, topic: str, timestamp_ms: int) -> Provenance | None:
        """Return a record's provenance; `None` where it is no dead letter. Never raises.

        A record that names its own topic as its origin is none: it was sent back.

        Args:
            headers: The record's headers.
            topic: The topic that the record lies in.
            timestamp_ms: The record's timestamp, unix ms.
        """
        present: dict[str, object] = {}
        written_by: dict[str, System | None] = {}
        for name, value in reversed_pairs(headers):
            present.setdefault(name, value)
            if name == dead_letter.TOPIC:
                written_by.setdefault(dead_letter.WRITTEN_BY, None)
            elif (system := self._by_header.get(name)) is not None:
                written_by.setdefault(name, system)
        named = self._named(topic)
        candidates = [
            Provenance.from_headers(headers)
            if system is None
            else _read(system, present, {}, timestamp_ms)
            for system in written_by.values()
        ]
        if "topic" in named:
            candidates.append(_read(self._own, present, named, timestamp_ms))
        return next((each for each in candidates if each and each.topic != topic), None)

    def is_dead_letter_topic(self, topic: str) -> bool:
        """Return whether a topic is named like one of another system, or as the user described."""
        return any(pattern.fullmatch(topic) for pattern in self._topics) or any(
            system.is_dead_letter_topic(topic) for system in systems.SYSTEMS
        )

    def is_own_topic(self, topic: str) -> bool:
        """Return whether a topic is named as the user described."""
        return any(pattern.fullmatch(topic) for pattern in self._topics)

    def origin_in_name(self, topic: str) -> tuple[str, str] | None:
        """Return the topic and group that the name of a dead-letter topic says; `None` if none.

        The group is empty if the name says none.
        """
        named = self._named(topic)
        if "topic" in named:
            return named["topic"], named.get("group", "")
        for system in systems.SYSTEMS:
            for suffix in system.suffixes:
                if topic.endswith(suffix):
                    return topic.removesuffix(suffix), ""
        return None

    def without_errors(self, headers: list[Header], provenance: Provenance) -> list[Header]:
        """Leave out the headers that another system added to a dead letter; keep all others."""
        written_by = [
            system
            for system in (*systems.SYSTEMS, self._own)
            if system.name == provenance.written_by
        ]
        return [
            pair for pair in headers if not any(system.adds(_name(pair)) for system in written_by)
        ]

    def copies_records(self, provenance: Provenance) -> bool:
        """Return whether a dead letter of this writer holds its record, with its headers."""
        return all(
            system.copies_records
            for system in systems.SYSTEMS
            if system.name == provenance.written_by
        )

    def _named(self, topic: str) -> dict[str, str]:
        """Return the topic and group that the name of a dead-letter topic holds."""
        for pattern in self._topics:
            fits = pattern.fullmatch(topic)
            if fits is not None:
                return {key: value for key, value in fits.groupdict().items() if value}
        return {}


def _read(
    system: System, present: Mapping[str, object], named: Mapping[str, str], timestamp_ms: int
) -> Provenance:
    values: dict[str, Any] = {
        "topic": "", "partition": -1, "offset": -1, "timestamp_ms": -1, "group": "",
        "exception": "", "message": "", "attempts": 0, "first_failed_at_ms": 0,
        "failed_at_ms": max(0, timestamp_ms),
    } | dict(named)  # fmt: skip
    for field, sources in system.fields.items():
        value = _first(present, sources)
        if value is not None:
            values[field] = value
    details = (
        (label, _first(present, sources)) for label, sources in sorted(system.details.items())
    )
    return Provenance(
        **values,
        written_by=system.name,
        details=tuple((label, value) for label, value in details if value),
    )


def _first(present: Mapping[str, object], sources: systems.Sources) -> Any:
    decoded = (decode(present.get(name)) for name, decode in sources)
    return next((value for value in decoded if value is not None), None)


def _own_system(headers: Mapping[str, str]) -> System:
    unknown = sorted(headers.keys() - ORIGIN_FIELDS.keys())
    if unknown or not all(headers.values()):
        raise ValueError(
            f"own headers hold one of {', '.join(ORIGIN_FIELDS)}, each with the name of a header, "
            f"not {', '.join(unknown) or 'an empty name'}"
        )
    fields = {
        ORIGIN_FIELDS[what][0]: ((header, ORIGIN_FIELDS[what][1]),)
        for what, header in headers.items()
    }
    return System(name=systems.OWN, fields=fields, added_names=frozenset(headers.values()))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    if not compiled.groupindex.keys() <= _IN_NAMES:
        raise ValueError(f"{pattern!r} may have the groups (?P<topic>...) and (?P<group>...) alone")
    return compiled


def _name(pair: object) -> object:
    try:
        return pair[0]  # type: ignore[index]  # anything may come in
    except (TypeError, IndexError, KeyError):
        return None


FORMATS: Final = DeadLetterFormats()
"""The formats that are known without a description."""
