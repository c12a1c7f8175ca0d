"""Read what a page shows, for a limited time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from tracing.dlq.origins import Origins
from tracing.dlq.places import LetterId
from tracing.dlq.reading import letters, reader, topics_of
from tracing.dlq.replay_log import ReplayLog
from tracing.dlq.replayed import ReplayState
from tracing.dlq.summary import Summary
from tracing.dlq_web.choice import fits
from tracing.dlq_web.problems import not_found, too_far_apart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from aiokafka import AIOKafkaConsumer

    from tracing.dlq.places import Troubles
    from tracing.dlq.reading import Letter
    from tracing.dlq.replayed import ReplayHistory, ReplayStatus
    from tracing.dlq_web.choice import Choice
    from tracing.dlq_web.settings import Settings

# Each page opens a few connections to the cluster, and reads.
_AT_ONCE: Final = 4
# Records choose their error type, and so the number of groups.
_MOST_GROUPS: Final = 10_000


@dataclass(slots=True)
class Found:
    """A dead letter.

    Attributes:
        dead_letter: The dead letter.
        refusal: Why it is not replayed; `None` if it can be.
        status: What is known about its replays.
    """

    dead_letter: Letter
    refusal: str | None
    status: ReplayStatus


@dataclass(slots=True)
class Extract:
    """What was read for a page.

    Attributes:
        problem: Why it is not known what was replayed; `None` if it is.
        troubles: Partitions and topics that could not be read, with the reasons.
        out_of_time: Whether the time was over before all was read.
    """

    problem: str | None = None
    troubles: Troubles = field(default_factory=dict)
    out_of_time: bool = False


@dataclass(slots=True)
class Overview(Extract):
    """All dead letters, counted.

    Attributes:
        topics: The dead-letter topics.
        summary: The counts.
    """

    topics: list[str] = field(default_factory=list)
    summary: Summary = field(default_factory=lambda: Summary(_MOST_GROUPS))


@dataclass(slots=True)
class Page(Extract):
    """Some dead letters of a topic, in order per partition.

    Attributes:
        found: The dead letters.
        read: Number of records that were read for them.
        more: The choice of what comes behind them; `None` if nothing does.
    """

    found: list[Found] = field(default_factory=list)
    read: int = 0
    more: Choice | None = None


class Reading:
    """Reads what pages show. For one event loop.

    Args:
        settings: The options of the server.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def overview(self, pattern: str) -> Overview:
        """Count the dead letters of the topics that fit a pattern.

        Raises:
            KafkaError: The cluster does not answer, or refuses.
        """
        async with self._turn:
            topics, origins = await self._topics()
            overview = Overview(topics=[topic for topic in topics if fits(pattern, topic)])
            if not overview.topics:
                return overview
            history = await self._history(overview.topics)
            overview.problem = history.problem
            async with aclosing(self._read(overview.topics, overview)) as reading:
                async for dead_letter in reading:
                    status = history.status(dead_letter)
                    refusal = origins.refusal(dead_letter)
                    overview.summary.add(dead_letter, refusal, status.state)
        return overview

    async def page(self, choice: Choice) -> Page:
        """Read some of the dead letters of a choice.

        Raises:
            PageError: There is no such dead-letter topic.
            KafkaError: The cluster does not answer, or refuses.
        """
        async with self._turn:
            origins = await self._origins_of(choice.topic)
            history = await self._history([choice.topic])
            page = Page(problem=history.problem)
            selection = choice.selection
            places = {each.partition: each for each in choice.after}
            async with aclosing(self._read([choice.topic], page, after=choice.after)) as reading:
                async for dead_letter in reading:
                    if len(page.found) == self._settings.page:
                        page.more = choice.behind(list(places.values()))
                        break
                    page.read += 1
                    places[dead_letter.id.partition] = _last(dead_letter)
                    status = history.status(dead_letter)
                    replayed = status.state is ReplayState.YES
                    if dead_letter in selection and not (choice.waiting and replayed):
                        refusal = origins.refusal(dead_letter)
                        page.found.append(Found(dead_letter, refusal, status))
            if page.out_of_time:
                page.more = choice.behind(list(places.values()))
        return page

    async def one(self, place: LetterId) -> tuple[Found, str | None]:
        """Read a dead letter; return it, and why it is not known whether it was replayed.

        Raises:
            PageError: There is no such dead letter.
            KafkaError: The cluster does not answer, or refuses.
        """
        found, problem = await self.these([place])
        if not found:
            raise not_found(f"There is no dead letter {place}")
        return found[0], problem

    async def these(self, places: Collection[LetterId]) -> tuple[list[Found], str | None]:
        """Read dead letters of one topic, as `one`; those that do not exist are left out.

        Raises:
            PageError: There is no such dead-letter topic, or they lie too far apart.
            KafkaError: The cluster does not answer, or refuses.
        """
        async with self._turn:
            (topic,) = {place.topic for place in places}
            origins = await self._origins_of(topic)
            history = await self._history([topic])
            extract = Extract()
            found: list[Found] = []
            clock = asyncio.timeout(self._settings.read_s)
            try:
                async with clock, aclosing(self._read([topic], extract, only=places)) as reading:
                    async for each in reading:
                        one = Found(each, origins.refusal(each), history.status(each))
                        found.append(one)
            except TimeoutError:
                if not clock.expired():
                    raise
                extract.out_of_time = True
            for error in extract.troubles.values():
                raise error
            if extract.out_of_time and len(found) < len(places):
                raise too_far_apart(self._settings.read_s)
        return sorted(found, key=lambda each: each.dead_letter.id), history.problem

    async def empty(self, partitions: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return the partitions, each with its topic, that never held a record.

        Those of topics that the cluster refuses are left out: a replay cannot send to them.

        Raises:
            PageError: The cluster does not say so in time.
            KafkaError: The cluster does not answer.
        """
        clock = asyncio.timeout(self._settings.read_s)
        try:
            async with self._turn, clock, reader(self._settings.connection) as consumer:
                return await _empty(consumer, partitions)
        except TimeoutError:
            if not clock.expired():
                raise
            raise too_far_apart(self._settings.read_s) from None

    async def _topics(self) -> tuple[list[str], Origins]:
        settings = self._settings
        existing = await topics_of(settings.connection) - {settings.replay_topic}
        origins = Origins(existing, template=settings.template, formats=settings.formats)
        return sorted(filter(settings.is_dead_letter_topic, existing)), origins

    async def _origins_of(self, topic: str) -> Origins:
        topics, origins = await self._topics()
        if topic not in topics:
            raise not_found(f"There is no dead-letter topic {topic}")
        return origins

    async def _history(self, topics: Collection[str]) -> ReplayHistory:
        settings = self._settings
        async with ReplayLog(
            settings.connection,
            settings.replay_topic,
            dead_letter_topics=topics,
            timeout_s=settings.timeout_s,
        ) as log:
            return log.history

    async def _read(
        self,
        topics: Collection[str],
        extract: Extract,
        *,
        only: Collection[LetterId] | None = None,
        after: Collection[LetterId] = (),
    ) -> AsyncGenerator[Letter, None]:
        settings = self._settings
        reading = letters(
            settings.connection,
            topics,
            only=only,
            after=after,
            timeout_s=min(settings.timeout_s, settings.read_s),
            troubles=extract.troubles,
            formats=settings.formats,
        )
        ends_at = monotonic() + settings.read_s
        async with aclosing(reading):
            async for dead_letter in reading:
                yield dead_letter
                # At least one, so that the next page gets on.
                if monotonic() > ends_at:
                    extract.out_of_time = True
                    return


async def _empty(
    consumer: AIOKafkaConsumer, partitions: Collection[tuple[str, int]]
) -> set[tuple[str, int]]:
    empty: set[tuple[str, int]] = set()
    await consumer.topics()
    for topic in sorted({topic for topic, _ in partitions}):
        there = consumer.partitions_for_topic(topic) or set()
        asked = [TopicPartition(*each) for each in partitions if each[0] == topic]
        try:
            ends = await consumer.end_offsets([tp for tp in asked if tp.partition in there])
        except KafkaError:
            continue
        empty |= {(tp.topic, tp.partition) for tp, end in ends.items() if end == 0}
    return empty


def _last(dead_letter: Letter) -> LetterId:
    """Return the last place that a dead letter covers."""
    place = dead_letter.id
    return LetterId(place.topic, place.partition, place.offset + dead_letter.offsets - 1)
