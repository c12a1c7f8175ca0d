"""How far a log reaches, as one of its consumers knows it, and how far its readers are behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog, described
from tracing.replay.positions import LogPartition, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_logger = EventLog("tracing")

_NOWHERE: Final = Position(0)
_READ_S: Final = 0.2
_ASK_S: Final = 3.0
_BETWEEN_LOOKS_S: Final = 5.0
# Three looks, each of which may take its time.
_RECENT_S: Final = 3 * (_BETWEEN_LOOKS_S + _ASK_S)
# Ages are exact to a sixteenth, so what is remembered grows with the logarithm of the time that a
# consumer is stalled: some 250 ends in a year.
_PRECISION: Final = 16


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far a view is behind the log, as of the last look at the log.

    Attributes:
        as_of_ms: The event time that the view has reached, unix ms: where it is behind, the oldest
            one of the partitions that it is behind in; else that of its latest event. `None` before
            the first event.
        records: How many records are missing; `None` while the ends of the log are not known, and
            where none was missing when the cluster last answered, which is too long ago.
        missing_since_ms: The timestamp of the oldest missing record, unix ms. Where that is not
            known, when the record was first seen to exist: it is at least that old. `None` if none
            is missing.
    """

    as_of_ms: int | None
    records: int | None
    missing_since_ms: int | None = None

    def behind_s(self, now_s: float) -> float | None:
        """Return the age of the oldest missing record, or its lower bound; `None` if unknown.

        It is 0 where the view has applied everything that the log had at the last look: an idle
        topic makes no view stale. It grows while a record is missing.

        Args:
            now_s: The current time, unix seconds.
        """
        if self.records is None:
            return None
        if self.missing_since_ms is None:
            return 0.0
        return max(0.0, now_s - self.missing_since_ms / 1000)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a partition.

    Attributes:
        ends: Ends of its log with the times at which they were first seen, unix ms, in order.
        handled: The first offset that the group has still to handle. Records before it are applied,
            or the group gave up on them.
        receiving: Offset and timestamp of the record that is being handled.
    """

    ends: tuple[tuple[int, int], ...] = ()
    handled: int = 0
    receiving: tuple[int, int] | None = None

    def missing(self, position: Position) -> tuple[int, int | None]:
        """Return how many records are not applied, and since when at least the oldest exists."""
        applied = max(position.next_offset, self.handled)
        end = self.ends[-1][0] if self.ends else 0
        if applied >= end:
            return 0, None
        if self.receiving is not None and self.receiving[0] >= applied:
            return end - applied, self.receiving[1]
        return end - applied, next(seen for reached, seen in self.ends if reached > applied)

    def seen(self, end: int, now_ms: int) -> _Known:
        """Return it with an end that a look has shown."""
        last = self.ends[-1][0] if self.ends else -1
        if end == last:
            return self
        if end < last:
            # The topic was created again.
            return _Known(((end, now_ms),))
        # Ends that the group has passed say nothing any more.
        ends = tuple(each for each in self.ends if each[0] > self.handled)
        if len(ends) > 1 and (now_ms - ends[-2][1]) * _PRECISION < now_ms - ends[0][1]:
            ends = ends[:-1]
        return _Known((*ends, (end, now_ms)), self.handled, self.receiving)


@dataclass(frozen=True, slots=True)
class KnownLog:
    """What was known of a log at one moment; see `LogEnds.known`."""

    partitions: Mapping[LogPartition, _Known]
    complete: bool
    recent: bool = True

    def freshness(self, positions: Mapping[LogPartition, Position]) -> Freshness:
        """Return how far a view is behind.

        Args:
            positions: How far the view is. Read them after this was taken, so that the view is
                never taken for newer than it is.
        """
        times = {place: each.event_ms for place, each in positions.items() if each.event_ms >= 0}
        records, since = 0, []
        behind: list[LogPartition] = []
        for place, known in self.partitions.items():
            number, oldest = known.missing(positions.get(place, _NOWHERE))
            records += number
            if oldest is not None:
                since.append(oldest)
                behind.append(place)
        if behind:
            reached = [times[place] for place in behind if place in times]
            as_of = min(reached, default=None) if len(reached) == len(behind) else None
        else:
            as_of = max(times.values(), default=None)
        # What is missing stays so without the cluster. That nothing is, only the cluster can say.
        counted = self.complete and (self.recent or records > 0)
        return Freshness(as_of, records if counted else None, min(since, default=None))

    def of(self, topics: Collection[str]) -> KnownLog:
        """Return what is known of some topics, where a view reads fewer than its consumer."""
        kept = {place: known for place, known in self.partitions.items() if place.topic in topics}
        return KnownLog(kept, self.complete, self.recent)

    def passed(
        self, place: LogPartition, offset: int, positions: Mapping[LogPartition, Position]
    ) -> bool:
        """Return whether a view has applied a record, or its group gave up on it."""
        known = self.partitions.get(place)
        position = positions.get(place, _NOWHERE).next_offset
        return offset < max(position, known.handled if known else 0)


class LogEnds:
    """The ends of the partitions that a consumer's group reads, and what it has handled of them.

    Of the partitions that the consumer is assigned, it takes what came with the last fetch. It asks
    for the others every few seconds, and whether the cluster answers at all: without answers,
    nothing would show that records are missing. For one event loop::

        ends = LogEnds()
        ends.follow(consumer, topics)
        ...
        await ends.update()  # about once a second
        ends.known().freshness(positions)

    Args:
        clock: Returns unix seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._consumer: Any = None
        self._topics: tuple[str, ...] = ()
        self._partitions: dict[LogPartition, _Known] = {}
        self._expected: frozenset[LogPartition] = frozenset()
        self._asked_at: float | None = None
        self._answered_s: float | None = None

    def follow(self, consumer: Any, topics: Collection[str]) -> None:
        """Look at the log through a consumer from now on.

        Args:
            consumer: A started `TracedConsumer`.
            topics: The topics.
        """
        self._consumer = consumer
        self._topics = tuple(topics)

    def received(self, record: Any) -> None:
        """Note that a record is being handled: until it is applied, it is the oldest missing one.

        Args:
            record: The record, with topic, partition, offset and timestamp.
        """
        place = LogPartition(record.topic, record.partition)
        known = self._partitions.get(place, _Known())
        self._partitions[place] = _Known(
            known.ends, known.handled, (record.offset, record.timestamp)
        )

    def handled(self, record: Any) -> None:
        """Note that a record was handled, where nothing else says how far the group is.

        Views need not: their positions say it.
        """
        place = LogPartition(record.topic, record.partition)
        known = self._partitions.get(place, _Known())
        self._partitions[place] = _Known(known.ends, max(known.handled, record.offset + 1))

    def seen(self, place: LogPartition, end: int, handled: int | None = None) -> None:
        """Note the end of a partition, and the first offset that the group has still to handle."""
        known = self._partitions.get(place, _Known()).seen(end, round(self._clock() * 1000))
        if handled is not None:
            known = _Known(known.ends, handled, known.receiving)
        self._partitions[place] = known

    def expect(self, places: Collection[LogPartition]) -> None:
        """Note which partitions there are: until all were seen, it is not known what is missing."""
        self._expected = frozenset(places)

    def known(self) -> KnownLog:
        """Return what is known now, with the ends of the last fetches. Sends no request."""
        for place, end in self._fetched():
            self.seen(place, end)
        seen = {place for place, known in self._partitions.items() if known.ends}
        complete = bool(self._expected) and self._expected <= seen
        answered_s = self._answered_s
        recent = answered_s is None or self._clock() - answered_s <= _RECENT_S
        return KnownLog(dict(self._partitions), complete, recent)

    async def update(self) -> None:
        """Look at the log; at most every few seconds with requests. Never raises."""
        if self._consumer is None:
            return
        try:
            self.expect(
                [
                    LogPartition(topic, number)
                    for topic in self._topics
                    for number in self._consumer.partitions_for_topic(topic) or ()
                ]
            )
            assigned = dict(self._fetched())
            async with asyncio.timeout(_READ_S):
                for place, end in assigned.items():
                    self.seen(place, end, await self._consumer.position(place))
            if self._asked_at is None or monotonic() - self._asked_at >= _BETWEEN_LOOKS_S:
                self._asked_at = monotonic()
                async with asyncio.timeout(_ASK_S):
                    await self._ask(self._expected - assigned.keys())
                    if assigned:
                        # Only whether it answers. Some brokers, such as the demo's embedded one,
                        # give less than the end here; fetches are right.
                        await self._consumer.end_offsets(list(assigned))
                self._answered_s = self._clock()
        except Exception as error:
            # During a rebalance or without a broker; what was known stays.
            _logger.debug("the ends of the log are not known: %s", described(error))

    def _fetched(self) -> Iterator[tuple[LogPartition, int]]:
        """Return the ends that came with the last fetches."""
        if self._consumer is None:
            return
        for partition in self._consumer.assignment():
            try:
                end = self._consumer.highwater(partition)
            except Exception as error:
                _logger.debug("a partition was taken away: %s", described(error))
                continue
            if end is not None and partition.topic in self._topics:
                yield LogPartition(*partition), end

    async def _ask(self, places: Collection[LogPartition]) -> None:
        """Ask for the ends, and for what the group has handled, of other partitions."""
        if not places:
            return
        ends = await self._consumer.end_offsets(list(places))
        begins = await self._consumer.beginning_offsets(list(places))
        for place in places:
            committed = await self._consumer.committed(place)
            self.seen(place, ends[place], max(committed or 0, begins[place]))
