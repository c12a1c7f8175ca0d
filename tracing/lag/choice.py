"""Choose the groups and topics that a sweep covers, by name and by pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracing.headers.dead_letter_formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Collection

    from tracing.headers.dead_letter_formats import DeadLetterFormats


@dataclass(frozen=True, slots=True)
class Choice:
    """What a sweep covers.

    Attributes:
        groups: Only these groups; by default all.
        topics: Only these topics; by default all.
        exclude_groups: No group whose whole name matches one of these patterns.
        exclude_topics: No topic whose whole name matches one of these patterns.
        read: Whether to read records.
        suffix: What this library's dead-letter topics end in.
        formats: How other systems name dead-letter topics and the origin of dead letters.
        command_topics: Topics whose whole name matches one of these patterns hold commands.

    Raises:
        ValueError: A group or topic is both named and excluded.
    """

    groups: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    exclude_groups: tuple[re.Pattern[str], ...] = ()
    exclude_topics: tuple[re.Pattern[str], ...] = ()
    read: bool = True
    suffix: str = ".dlq"
    formats: DeadLetterFormats = FORMATS
    command_topics: tuple[re.Pattern[str], ...] = ()

    def __post_init__(self) -> None:
        for kind, names, excluded in (
            ("group", self.groups, self.exclude_groups),
            ("topic", self.topics, self.exclude_topics),
        ):
            for name in sorted(names):
                for pattern in excluded:
                    if pattern.fullmatch(name):
                        raise ValueError(
                            f"{kind} {name} is named and also excluded, by {pattern.pattern!r}"
                        )

    def has_group(self, group: str) -> bool:
        """Return whether the sweep covers a group."""
        return _chosen(group, self.groups, self.exclude_groups)

    def has_topic(self, topic: str) -> bool:
        """Return whether the sweep covers a topic."""
        return _chosen(topic, self.topics, self.exclude_topics)

    def is_command(self, topic: str) -> bool:
        """Return whether a topic holds commands."""
        return any(pattern.fullmatch(topic) for pattern in self.command_topics)

    def has_dead_letters(self, topic: str) -> bool:
        """Return whether the sweep covers a topic, and it is named like a dead-letter topic."""
        named = topic.endswith(self.suffix) or self.formats.is_dead_letter_topic(topic)
        return named and self.has_topic(topic)


def patterns(texts: Collection[str]) -> tuple[re.Pattern[str], ...]:
    """Compile patterns.

    Raises:
        ValueError: A text is not a regular expression.
    """
    return tuple(map(_pattern, texts))


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is not a regular expression, in which .* is any text: {error}"
        ) from None


def _chosen(name: str, names: frozenset[str], excluded: tuple[re.Pattern[str], ...]) -> bool:
    if names and name not in names:
        return False
    return not any(pattern.fullmatch(name) for pattern in excluded)
