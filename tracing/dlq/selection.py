"""Select dead letters by topic, group, error, time or id."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tracing.dlq.reading import letters
from tracing.dlq.replayed import ReplayState
from tracing.headers.dead_letter_formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tracing.dlq.places import LetterId, Troubles
    from tracing.dlq.reading import Letter
    from tracing.dlq.replayed import ReplayHistory
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Conditions that a selected dead letter meets, all of them.

    Attributes:
        topics: Dead-letter topics. A dead letter in one of them is selected, as is one that came
            from one of `source_topics`.
        source_topics: Topics that the records came from.
        groups: Consumer groups that gave the records up.
        errors: Error types; `*` stands for any text.
        since_ms: The earliest time of failure, unix ms.
        until_ms: The end of the times of failure, unix ms, itself not selected.
        ids: Single dead letters.
    """

    topics: frozenset[str] = frozenset()
    source_topics: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    errors: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    ids: frozenset[LetterId] = frozenset()

    @property
    def everything(self) -> bool:
        """Whether every dead letter of the topics is selected."""
        return replace(self, topics=frozenset(), source_topics=frozenset()) == Selection()

    def __contains__(self, dead_letter: Letter) -> bool:
        if self.ids and dead_letter.id not in self.ids:
            return False
        provenance = dead_letter.provenance
        if provenance is None:
            # Where it came from is unknown, so only its id can select it.
            return self.everything or bool(self.ids)
        return (
            self._of_topics(dead_letter.id.topic, provenance.topic)
            and (not self.groups or provenance.group in self.groups)
            and (not self.errors or any(fnmatchcase(provenance.exception, e) for e in self.errors))
            and (self.since_ms is None or provenance.failed_at_ms >= self.since_ms)
            and (self.until_ms is None or provenance.failed_at_ms < self.until_ms)
        )

    def _of_topics(self, topic: str, source_topic: str) -> bool:
        if not self.topics and not self.source_topics:
            return True
        return topic in self.topics or source_topic in self.source_topics


async def selected(
    connection: Connection,
    topics: list[str],
    selection: Selection,
    timeout_s: float,
    troubles: Troubles,
    formats: DeadLetterFormats = FORMATS,
    *,
    unseen: set[str] | None = None,
) -> AsyncGenerator[Letter, None]:
    """Yield the selected dead letters.

    Args:
        connection: The cluster.
        topics: The dead-letter topics.
        selection: The conditions.
        timeout_s: How long to wait for a broker that sends nothing, in seconds.
        troubles: Receives the partitions that cannot be read.
        formats: How dead letters name their origin.
        unseen: Loses the topics that any dead letter came from, selected or not.

    Raises:
        LookupError: A dead letter that is selected by its id does not exist.
    """
    if not topics:
        return
    missing = set(selection.ids)
    reading = letters(connection, topics, timeout_s=timeout_s, troubles=troubles, formats=formats)
    async with aclosing(reading):
        async for dead_letter in reading:
            missing.discard(dead_letter.id)
            if unseen and dead_letter.provenance is not None:
                unseen.discard(dead_letter.provenance.topic)
            if dead_letter in selection:
                yield dead_letter
    if missing and not troubles:
        names = ", ".join(str(dead_letter_id) for dead_letter_id in sorted(missing))
        raise LookupError(f"there is no dead letter {names}; it may have been purged")


async def unreplayed(
    dead_letters: AsyncGenerator[Letter, None], history: ReplayHistory
) -> AsyncGenerator[Letter, None]:
    """Yield the dead letters that are not known to have been replayed."""
    async with aclosing(dead_letters):
        async for dead_letter in dead_letters:
            if history.status(dead_letter).state is not ReplayState.YES:
                yield dead_letter


async def limited(
    dead_letters: AsyncGenerator[Letter, None], limit: int | None
) -> AsyncGenerator[Letter, None]:
    """Yield at most `limit` dead letters."""
    number = 0
    async with aclosing(dead_letters):
        async for dead_letter in dead_letters:
            yield dead_letter
            number += 1
            if number == limit:
                return
