"""Which dead letters a page shows, as it stands in the page's address."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from glob import escape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tracing.dlq.places import LetterId
from tracing.dlq.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import QueryParams

_LONGEST = 1000
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Dead letters of one dead-letter topic.

    A text that is absent from the address selects all; an empty one selects the dead letters that
    do not name their group, or their error.

    Attributes:
        topic: The dead-letter topic.
        source: The topic that they came from.
        group: The consumer group that gave them up.
        error: The error type.
        waiting: Leave out those that are known to have been replayed.
        after: Places behind which to go on, one of each partition.
    """

    topic: str
    source: str | None = None
    group: str | None = None
    error: str | None = None
    waiting: bool = False
    after: tuple[LetterId, ...] = field(default=())

    @classmethod
    def of(cls, query: QueryParams) -> Choice:
        """Read an address.

        Raises:
            ValueError: It names no topic, or a place that is none.
        """
        topic = query.get("topic", "")
        if not topic:
            raise ValueError("the address names no dead-letter topic")
        return cls(
            topic=topic,
            source=query.get("source"),
            group=query.get("group"),
            error=query.get("error"),
            waiting=query.get("state") == "waiting",
            after=tuple(LetterId.parse(f"{topic}/{each}") for each in query.getlist("after")),
        )

    @property
    def selection(self) -> Selection:
        """The conditions, but for `waiting` and `after`."""
        return Selection(
            source_topics=frozenset() if self.source is None else frozenset({self.source}),
            groups=frozenset() if self.group is None else frozenset({self.group}),
            # What a record names as its error is no pattern.
            errors=() if self.error is None else (escape(self.error),),
        )

    @property
    def query(self) -> str:
        """The choice as the query of an address."""
        texts = (("topic", self.topic), ("source", self.source), ("group", self.group),
                 ("error", self.error))  # fmt: skip
        pairs = [(name, text) for name, text in texts if text is not None]
        pairs += [("state", "waiting")] if self.waiting else []
        pairs += [("after", f"{each.partition}/{each.offset}") for each in self.after]
        return urlencode(pairs, errors="replace")

    @property
    def linkable(self) -> Choice:
        """The choice for a link: without texts that are too long for an address.

        Anyone who may write to a topic chooses them, and a page has hundreds of links.
        """
        group, error = (
            None if text is not None and len(text) > _LONGEST else text
            for text in (self.group, self.error)
        )
        return replace(self, group=group, error=error)

    def first(self, *, waiting: bool | None = None) -> Choice:
        """Return the choice from its beginning, of all states or of one."""
        return replace(self, after=(), waiting=self.waiting if waiting is None else waiting)

    def behind(self, places: Sequence[LetterId]) -> Choice:
        """Return the choice of what comes behind these places."""
        return replace(self, after=tuple(sorted(places)))


def fits(pattern: str, text: str) -> bool:
    """Return whether a text has what an operator looks for, in which `*` stands for any text."""
    return fnmatchcase(text, pattern if _WILD & set(pattern) else f"*{pattern}*")
