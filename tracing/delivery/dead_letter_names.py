"""How dead-letter topics are named after the topic and the group whose dead letters they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TOPIC: Final = "{topic}.{group}.dlq"
"""The name of a dead-letter topic, unless `DeadLetters(topic=...)` chose another."""

REPLAY_TOPIC: Final = "__pipeline_dead_letter_replays"
"""The topic that remembers replays, unless another one is named.

No dead letter can write to it: a topic with such a name never receives replays.
"""

_ANYTHING: Final = "(.+)"


@dataclass(frozen=True, slots=True)
class DeadLetterNames:
    """Names dead-letter topics, and reads their names.

    Attributes:
        template: The name, in which `{topic}` is the record's topic and `{group}` the consumer
            group.
        is_name: Returns whether a topic can have a name.

    Raises:
        ValueError: The template holds something else, or gives different topics or groups the
            same name.
    """

    template: str
    is_name: Callable[[str], bool]

    def __post_init__(self) -> None:
        if _alters(self.template):
            # Cut or padded names cannot be distinguished or read back.
            raise ValueError(
                f"topic={self.template!r} may hold {{topic}} and {{group}} as they are, and alone"
            )
        example = self._filled("topic", "group")
        if not self.is_name(example):
            raise ValueError(
                f"topic={self.template!r} gives names such as {example!r}, which no topic can have"
            )
        if self.of("a", "g") in {self.of("b", "g"), self.of("a", "h")}:
            raise ValueError(
                f"topic={self.template!r} gives dead letters of different topics and groups one "
                "name: it needs {topic} and {group}"
            )

    def of(self, topic: str, group: str) -> str:
        """Return the dead-letter topic of a topic and a group.

        Raises:
            ValueError: That is no name which a topic can have.
        """
        name = self._filled(topic, group)
        if not self.is_name(name):
            raise ValueError(
                f"dead letters of {topic} would go to {name}, which is not a valid name of a "
                "topic: choose another with DeadLetters(topic=...)"
            )
        return name

    def _filled(self, topic: str, group: str) -> str:
        try:
            return self.template.format(topic=topic, group=group)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                f"topic={self.template!r} may hold {{topic}} and {{group}} alone"
            ) from error

    def names(self, name: str) -> bool:
        """Return whether a topic is named like a dead-letter topic."""
        return self._pattern().fullmatch(name) is not None

    def group(self, name: str, topic: str) -> str | None:
        """Return the group whose dead letters of a topic lie under a name; `None` without one."""
        # A quick no for nearly all topics.
        fits = self._pattern(topic).fullmatch(name) if topic in name else None
        group = None if fits is None else fits[1]
        return group if group is not None and self._gives(name, topic, group) else None

    def source(self, name: str, topics: Iterable[str]) -> tuple[str, str] | None:
        """Return the topic and group whose dead letters a topic holds; `None` where none fits.

        Names have dots in them: of several topics that fit, it is the one with the longest name.

        Args:
            name: The dead-letter topic.
            topics: The topics that exist.
        """
        fitting = ((topic, group) for topic in topics if (group := self.group(name, topic)))
        return max(fitting, key=lambda pair: len(pair[0]), default=None)

    def _gives(self, name: str, topic: str, group: str) -> bool:
        return self.template.format(topic=topic, group=group) == name

    def _pattern(self, topic: str | None = None) -> re.Pattern[str]:
        pattern = ""
        for literal, field, _, _ in Formatter().parse(self.template):
            pattern += re.escape(literal)
            if field == "topic":
                pattern += ".+" if topic is None else re.escape(topic)
            elif field is not None:
                # One that comes twice is the same both times, which rendering it shows.
                pattern += ".+" if _ANYTHING in pattern else _ANYTHING
        return re.compile(pattern)


def _alters(template: str) -> bool:
    try:
        return any(
            field not in {None, "topic", "group"} or spec or conversion
            for _, field, spec, conversion in Formatter().parse(template)
        )
    except ValueError:
        # It is no template at all, which using it shows.
        return False
