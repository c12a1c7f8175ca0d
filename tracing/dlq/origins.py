"""Where dead letters say that they come from, and whether that can be.

Whoever may write to a dead-letter topic writes the headers as well, so they do not decide where
the rights of an operator are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracing.delivery.dead_letter_names import TOPIC, DeadLetterNames, is_topic_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from tracing.dlq.reading import Letter
    from tracing.headers.dead_letter import Provenance

_INTERNAL: Final = "__"


class Origins:
    """Judges what dead letters say of the topic and the group that they come from.

    A letter is taken at its word where its topic is the dead-letter topic of the topic and group
    that it names, and that topic exists. One dead-letter topic can be that of several topics and
    groups, as `a.b.c.dlq` of `a` and group `b.c`, and of `a.b` and group `c`: then it belongs to
    the one with the longest name that exists, unless another one was asked for by name.

    Args:
        topics: The topics that exist.
        template: How dead-letter topics are named, as in `DeadLetters(topic=...)`.
        named: Topics that were asked for by name.

    Raises:
        ValueError: The template is none.
    """

    def __init__(
        self, topics: Collection[str], *, template: str = TOPIC, named: Collection[str] = ()
    ) -> None:
        self._topics = frozenset(topics)
        self._names = DeadLetterNames(template)
        self._named = frozenset(named)
        self._sources: dict[str, tuple[str, str] | None] = {}

    def refusal(self, letter: Letter) -> str | None:
        """Return why a letter does not go where it says; `None` where it does.

        Records without provenance name no place, so there is nothing to refuse.
        """
        provenance, place = letter.provenance, letter.id.topic
        if provenance is None:
            return letter.problem and f"it cannot be read: {letter.problem}"
        return (
            _no_place(provenance)
            or self._not_its_topic(provenance, place)
            or self._not_its_source(provenance, place)
        )

    def _not_its_topic(self, provenance: Provenance, place: str) -> str | None:
        topic, group = provenance.topic, provenance.group
        try:
            expected = self._names.of(topic, group)
        except ValueError:
            expected = ""
        if expected == place:
            return None
        return (
            f"it names {topic} and group {group!r}, whose dead letters do not go to {place} "
            f"(where services choose another name: --dead-letter-topic, now {self._names.template})"
        )

    def _not_its_source(self, provenance: Provenance, place: str) -> str | None:
        topic = provenance.topic
        if topic not in self._topics:
            return f"there is no topic {topic}, or it may not be described"
        if topic in self._named:
            return None
        if place not in self._sources:
            self._sources[place] = self._names.source(place, self._topics)
        source = self._sources[place]
        if source is None or source[0] == topic:
            return None
        return (
            f"it names {topic} and group {provenance.group!r}, and {place} is the dead-letter "
            f"topic of {source[0]} and group {source[1]!r} as well (to replay it to {topic}: "
            f"--topic {topic})"
        )


def _no_place(provenance: Provenance) -> str | None:
    topic = provenance.topic
    if not is_topic_name(topic) or topic.startswith(_INTERNAL):
        return f"it names {topic!r}, to which nothing is replayed"
    if not provenance.group:
        return f"it names {topic}, and no group that gave it up"
    if provenance.unreadable == "bytes":
        return f"it holds the bytes of what could not be read of {topic}, and no record"
    if provenance.partition < 0 or provenance.offset < 0:
        return f"it names {topic}, and no place in it"
    return None
