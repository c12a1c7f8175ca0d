"""Check the topic and group that a dead letter names as its origin.

Anyone who may write to a dead-letter topic also writes the headers, so the headers alone must not
decide which topics an operator's rights are used on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracing.delivery.dead_letter_names import TOPIC, DeadLetterNames
from tracing.headers.dead_letter import WRITTEN_BY
from tracing.headers.dead_letter_formats import FORMATS
from tracing.kafka.transport import is_topic_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from tracing.dlq.reading import Letter
    from tracing.headers.dead_letter import Provenance
    from tracing.headers.dead_letter_formats import DeadLetterFormats

_INTERNAL: Final = "__"


class Origins:
    """Checks the origins of dead letters.

    An origin is accepted if the dead letter lies in the dead-letter topic of the topic and group
    that it names, and that topic exists. Of dead letters that other systems wrote, the name of the
    dead-letter topic has to say where they came from, as Spring's `orders-dlt` does, or the user
    has to name that topic. One dead-letter topic can belong to several topics and
    groups: `a.b.c.dlq` to `a` and group `b.c`, and to `a.b` and group `c`. Then only the existing
    topic with the longest name is accepted, and the topics in `named`.

    Args:
        topics: The topics that exist.
        template: How dead-letter topics are named, as in `DeadLetters(topic=...)`.
        named: Topics that the user named.
        formats: How other systems name dead-letter topics.

    Raises:
        ValueError: The template is not valid.
    """

    def __init__(
        self,
        topics: Collection[str],
        *,
        template: str = TOPIC,
        named: Collection[str] = (),
        formats: DeadLetterFormats = FORMATS,
    ) -> None:
        self._topics = frozenset(topics)
        self._names = DeadLetterNames(template, is_topic_name)
        self._named = frozenset(named)
        self._formats = formats
        self._longest: dict[str, tuple[str, str] | None] = {}

    def refusal(self, dead_letter: Letter) -> str | None:
        """Return why a dead letter is not replayed to the topic that it names; `None` if it is.

        A record without provenance names no topic, so there is nothing to refuse.
        """
        provenance, topic = dead_letter.provenance, dead_letter.id.topic
        if provenance is None:
            return dead_letter.problem and f"it cannot be read: {dead_letter.problem}"
        if provenance.written_by != WRITTEN_BY:
            return _no_source(provenance) or self._named_by_headers_alone(provenance, topic)
        return (
            _no_source(provenance)
            or _incomplete(provenance)
            or self._other_dead_letter_topic(provenance, topic)
            or self._other_source_topic(provenance, topic)
        )

    def _named_by_headers_alone(self, provenance: Provenance, lies_in: str) -> str | None:
        topic = provenance.topic
        if topic not in self._topics:
            return _not_there(topic)
        if topic in self._named:
            return None
        in_name = self._formats.origin_in_name(lies_in)
        if in_name is not None and in_name[0] == topic:
            return None
        return (
            f"its headers name {topic}, and the name of {lies_in} does not confirm that "
            f"({_named_by_the_user(topic)})"
        )

    def _other_dead_letter_topic(self, provenance: Provenance, lies_in: str) -> str | None:
        topic, group = provenance.topic, provenance.group
        try:
            expected = self._names.of(topic, group)
        except ValueError:
            expected = ""
        if expected == lies_in:
            return None
        return (
            f"it names {topic} and group {group!r}, whose dead letters do not go to {lies_in} "
            "(if services name dead-letter topics differently, set --dead-letter-topic, now "
            f"{self._names.template})"
        )

    def _other_source_topic(self, provenance: Provenance, lies_in: str) -> str | None:
        topic = provenance.topic
        if topic not in self._topics:
            return _not_there(topic)
        if topic in self._named:
            return None
        if lies_in not in self._longest:
            self._longest[lies_in] = self._names.source(lies_in, self._topics)
        longest = self._longest[lies_in]
        if longest is None or longest[0] == topic:
            return None
        return (
            f"it names {topic} and group {provenance.group!r}, but {lies_in} is also the "
            f"dead-letter topic of {longest[0]} and group {longest[1]!r} "
            f"({_named_by_the_user(topic)})"
        )


def _named_by_the_user(topic: str) -> str:
    return (
        f"to replay it to {topic}, add --topic {topic}, which selects all that came from {topic} "
        "unless --id or --group select less"
    )


def _not_there(topic: str) -> str:
    return f"topic {topic} does not exist, or may not be described"


def _no_source(provenance: Provenance) -> str | None:
    topic = provenance.topic
    if not is_topic_name(topic) or topic.startswith(_INTERNAL):
        return f"it names {topic!r}, which never receives replays"
    return None


def _incomplete(provenance: Provenance) -> str | None:
    topic = provenance.topic
    if not provenance.group:
        return f"it names {topic}, but no group that gave it up"
    if provenance.unreadable == "bytes":
        return f"it holds unreadable bytes of {topic}, not a record"
    if provenance.partition < 0 or provenance.offset < 0:
        return f"it names {topic}, but no partition and offset"
    return None
