"""Choosing among dead letters."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tracing.dlq.reading import letters

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tracing.dlq.places import LetterId, Troubles
    from tracing.dlq.reading import Letter
    from tracing.kafka.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters are meant; those for which everything that is given holds.

    Attributes:
        topics: Dead-letter topics; a letter in one of them is meant, or one of `sources`.
        sources: Topics that the records came from.
        groups: Consumer groups that gave them up.
        errors: Error types, in which `*` stands for anything.
        since_ms: The earliest time of failure, unix ms.
        until_ms: The first time of failure that is too late, unix ms.
        ids: Single letters.
    """

    topics: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    errors: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    ids: frozenset[LetterId] = frozenset()

    @property
    def everything(self) -> bool:
        """Whether no letter of the topics is left out."""
        return replace(self, topics=frozenset(), sources=frozenset()) == Selection()

    def __contains__(self, letter: Letter) -> bool:
        if self.ids and letter.id not in self.ids:
            return False
        found = letter.provenance
        if found is None:
            # Nothing tells where it came from; only its id can mean it.
            return self.everything or bool(self.ids)
        return (
            self._of_topics(letter.id.topic, found.topic)
            and (not self.groups or found.group in self.groups)
            and (not self.errors or any(fnmatchcase(found.exception, e) for e in self.errors))
            and (self.since_ms is None or found.failed_at_ms >= self.since_ms)
            and (self.until_ms is None or found.failed_at_ms < self.until_ms)
        )

    def _of_topics(self, topic: str, source: str) -> bool:
        if not self.topics and not self.sources:
            return True
        return topic in self.topics or source in self.sources


async def selected(
    connection: Connection,
    topics: list[str],
    selection: Selection,
    timeout_s: float,
    troubles: Troubles,
) -> AsyncGenerator[Letter, None]:
    """Read the letters that are meant.

    Args:
        connection: The cluster.
        topics: Where they are.
        selection: Which ones.
        timeout_s: How long to wait for a broker that sends nothing, in seconds.
        troubles: Where to note partitions that cannot be read.

    Raises:
        LookupError: One that is meant by its id is not there.
    """
    if not topics:
        return
    missing = set(selection.ids)
    reading = letters(connection, topics, timeout_s=timeout_s, troubles=troubles)
    async with aclosing(reading) as found:
        async for letter in found:
            missing.discard(letter.id)
            if letter in selection:
                yield letter
    if missing and not troubles:
        names = ", ".join(str(place) for place in sorted(missing))
        raise LookupError(f"there is no letter {names}; it may have been purged")


async def limited(
    found: AsyncGenerator[Letter, None], limit: int | None
) -> AsyncGenerator[Letter, None]:
    """Stop after so many letters."""
    number = 0
    async with aclosing(found):
        async for letter in found:
            yield letter
            number += 1
            if number == limit:
                return
