"""Which dead-letter topics the options of `dlq list` and `dlq replay` choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import click

from tracing.core.text import printable
from tracing.delivery.dead_letter_names import TOPIC
from tracing.dlq.origins import Origins
from tracing.dlq.reading import topics_of
from tracing.dlq.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tracing.delivery.dead_letter_names import DeadLetterNames
    from tracing.dlq.places import LetterId
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection

SUFFIX: Final = ".dlq"
"""What dead-letter topics end in, unless services name them differently."""


class Chosen(NamedTuple):
    """The user's choice of dead letters.

    Attributes:
        topics: The dead-letter topics to read.
        selection: Which of their dead letters to take.
        origins: Checks where the dead letters come from.
        sources: Checks that dead letters came from the topics that the user named.
    """

    topics: list[str]
    selection: Selection
    origins: Origins
    sources: NamedSources


class NamedSources:
    """The topics that dead letters came from, as the user named them.

    Only the dead letters show whether a name was mistyped: in a dead-letter topic of other systems
    they can come from any topic, also from one that was deleted or that the user may not describe.

    Args:
        topics: The named topics.
        existing: The topics that exist.
        searched: The dead-letter topics.
        has_own: Those of the named topics that a dead-letter topic is named after.

    Attributes:
        unseen: Those from which no dead letter was read; the reader removes the others.
    """

    def __init__(
        self,
        topics: Iterable[str],
        existing: set[str],
        searched: list[str],
        has_own: set[str],
    ) -> None:
        self.unseen = set(topics)
        self._existing = existing
        self._read = ", ".join(searched) or "none"
        self._has_own = has_own

    def check(self) -> None:
        """Report, after all was read, the topics without a dead letter or a dead-letter topic.

        Raises:
            click.UsageError: One of them does not exist.
        """
        suspect = self.unseen - self._has_own
        known = f"and no dead letter came from it; dead-letter topics that were read: {self._read}"
        hint = "if it holds dead letters itself, add --dead-letter-pattern with its name"
        for topic in sorted(suspect & self._existing):
            click.echo(printable(f"{topic} has no dead-letter topic, {known} ({hint})"), err=True)
        if missing := sorted(suspect - self._existing):
            raise click.UsageError(f"there is no topic {', '.join(missing)}, {known}")


def is_dead_letter_topic(
    topic: str, names: DeadLetterNames, suffix: str | None, formats: DeadLetterFormats
) -> bool:
    """Return whether a topic is named like a dead-letter topic."""
    if suffix is not None:
        return topic.endswith(suffix) or formats.is_own_topic(topic)
    ours = topic.endswith(SUFFIX) if names.template == TOPIC else names.names(topic)
    return ours or formats.is_dead_letter_topic(topic)


async def chosen(
    connection: Connection,
    *,
    topics: Sequence[str],
    groups: Sequence[str],
    errors: Sequence[str],
    since: int | None,
    until: int | None,
    ids: Sequence[LetterId],
    names: DeadLetterNames,
    suffix: str | None,
    formats: DeadLetterFormats,
    replay_topic: str,
) -> Chosen:
    """Find the dead-letter topics that the options select.

    The topic that remembers replays is never one of them, however dead-letter topics are named.

    Raises:
        click.UsageError: A named topic does not exist.
    """
    existing = await topics_of(connection) - {replay_topic}
    by_id = {dead_letter_id.topic for dead_letter_id in ids}
    dead_letter_topics = sorted(
        each
        for each in existing
        # A user who names a dead letter has said that its topic holds some.
        if each in by_id or is_dead_letter_topic(each, names, suffix, formats)
    )
    named = {topic for topic in topics if is_dead_letter_topic(topic, names, suffix, formats)}
    source_topics = frozenset(topics) - named
    available = f"dead-letter topics: {', '.join(dead_letter_topics) or 'none'}"
    if missing := sorted(named - set(dead_letter_topics)):
        raise click.UsageError(f"there is no topic {', '.join(missing)}; {available}")
    if missing := sorted(by_id - set(dead_letter_topics)):
        raise click.UsageError(f"there is no dead-letter topic {', '.join(missing)}; {available}")
    # The source topic is part of the names of this library's dead-letter topics. Those of other
    # systems can hold dead letters from any topic.
    general = [topic for topic in dead_letter_topics if not names.names(topic)]
    unknown = {
        source_topic
        for source_topic in source_topics - existing
        if not general and not any(source_topic in topic for topic in dead_letter_topics)
    }
    if unknown:
        raise click.UsageError(f"there is no topic {', '.join(sorted(unknown))}; {available}")
    # The selection leaves out dead letters from other source topics.
    selected = [
        topic
        for topic in dead_letter_topics
        if not topics
        or topic in named
        or (source_topics and topic in general)
        or any(each in topic for each in source_topics)
    ]
    if ids:
        selected = [topic for topic in selected if topic in by_id]
    selection = Selection(
        topics=frozenset(named),
        source_topics=source_topics,
        groups=frozenset(groups),
        errors=tuple(errors),
        since_ms=since,
        until_ms=until,
        ids=frozenset(ids),
    )
    origins = Origins(existing, template=names.template, named=source_topics, formats=formats)
    has_own = {
        source_topic
        for source_topic in source_topics
        for topic in dead_letter_topics
        if names.group(topic, source_topic)
        or ((origin := formats.origin_in_name(topic)) and origin[0] == source_topic)
    }
    sources = NamedSources(source_topics, existing, selected, has_own)
    return Chosen(selected, selection, origins, sources)
