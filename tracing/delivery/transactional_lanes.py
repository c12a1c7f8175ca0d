"""All partitions of an exactly-once loop: which records wait, and which is next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog
from tracing.delivery.transactional_lane import TransactionalLane

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from tracing.delivery.failure_handling import FailureHandling
    from tracing.delivery.transactional_lane import Epoch
    from tracing.messaging.reading import ConsumerPort, TransactionalReading
    from tracing.messaging.transport import Lane

_logger = EventLog("tracing")

IDLE_S: Final = 0.2
"""How long to wait at most before looking again, in seconds."""


class TransactionalLanes:
    """The partitions of one loop.

    Args:
        consumer: The consumer of the records.
        reading: The loop's access to the consumer.
        handler: Called with each record, once per attempt.
        handling: Handles failures.
        max_buffered: Records of a partition that wait at most before its fetching pauses.
    """

    def __init__(
        self,
        consumer: ConsumerPort[Any],
        reading: TransactionalReading[Any],
        handler: Callable[[Any], Awaitable[object]],
        handling: FailureHandling,
        max_buffered: int,
    ) -> None:
        self._consumer = consumer
        self._reading = reading
        self._handler = handler
        self._handling = handling
        self._max_buffered = max_buffered
        self._lanes: dict[Lane, TransactionalLane] = {}
        self._held: set[Lane] = set(reading.paused())
        self._alone_last = False

    def of(self, tp: Lane) -> TransactionalLane:
        """Return the lane of a partition.

        Raises:
            ValueError: The partition's dead-letter topic cannot exist.
        """
        lane = self._lanes.get(tp)
        if lane is None:
            self._handling.prepare(tp.topic)
            lane = self._lanes[tp] = TransactionalLane(
                tp, self._consumer, self._reading, self._handler, self._handling
            )
            lane.held = tp in self._held
        return lane

    def without_position(self, epoch: Epoch) -> list[Lane]:
        """Return the consumer's partitions whose next offset is uncertain in this epoch."""
        return [
            tp
            for tp in self._reading.lanes()
            if (lane := self._lanes.get(tp)) is None or lane.epoch != epoch
        ]

    def add(self, records: Mapping[Lane, Sequence[Any]]) -> None:
        """Take fetched records, and pause partitions that have enough."""
        for tp, batch in records.items():
            lane = self.of(tp)
            lane.add(batch)
            if len(lane.queue) > self._max_buffered and not lane.paused:
                self._reading.pause(tp)
                lane.paused = True

    async def pass_over(self) -> None:
        """Note the consumer's positions. Call this between two polls only."""
        try:
            async with asyncio.timeout(IDLE_S):
                for tp in self._reading.lanes():
                    lane = self._lanes.get(tp)
                    if lane is not None and not lane.queue and lane.epoch is not None:
                        lane.pass_over(await self._reading.position(tp))
        except Exception as error:
            # Unassigned meanwhile, or not known yet; the next call notes it.
            _logger.debug("positions are not known: %s", type(error).__name__)

    def first(self, tp: Lane) -> int | None:
        """Return the first offset that no transaction has committed; `None` if it is unknown."""
        lane = self._lanes.get(tp)
        return None if lane is None else lane.first

    def hold(self, partitions: Iterable[Lane]) -> None:
        """Start no further record of these partitions."""
        for tp in partitions:
            self._held.add(tp)
            if tp in self._lanes:
                self._lanes[tp].held = True

    def release(self, partitions: Iterable[Lane]) -> None:
        """Continue with these partitions."""
        for tp in partitions:
            self._held.discard(tp)
            if tp in self._lanes:
                # If it still has too many records, the next poll pauses it again.
                self._lanes[tp].held = self._lanes[tp].paused = False

    def held(self) -> set[Lane]:
        """Return the partitions that the application has paused."""
        return set(self._held)

    def resume(self) -> None:
        """Resume partitions that have few records left."""
        for lane in self._lanes.values():
            if len(lane.queue) <= self._max_buffered // 2:
                self._resume(lane)

    def choose(self, epoch: Epoch | None) -> tuple[list[TransactionalLane], bool, float]:
        """Return the lanes of the next transaction, whether it is for one record, and the wait."""
        now = asyncio.get_running_loop().time()
        ready = [lane for lane in self._lanes.values() if lane.ready and lane.epoch == epoch]
        shared = [lane for lane in ready if not lane.alone]
        single = [lane for lane in ready if lane.alone]
        first = min(single, key=lambda lane: lane.queue[0].due, default=None)
        wait_s = IDLE_S if first is None else first.queue[0].due - now
        # Alternate, so that a partition whose records all fail does not delay the others.
        if first is not None and wait_s <= 0 and not (shared and self._alone_last):
            self._alone_last = True
            return [first], True, 0.0
        self._alone_last = False
        return shared, False, min(max(wait_s, 0.0), IDLE_S)

    async def lose(self, partitions: Collection[Lane], timeout_s: float) -> None:
        """Forget partitions that are about to move."""
        self._held.difference_update(partitions)
        lost = [self._lanes.pop(tp) for tp in partitions if tp in self._lanes]
        await asyncio.gather(*(lane.clear(timeout_s) for lane in lost))

    def cut_off(self) -> None:
        """Cancel records in progress, and do not wait for them."""
        for lane in self._lanes.values():
            lane.cut_off()

    async def leave(self, timeout_s: float) -> None:
        """Forget all records, and rewind over those that were not handled."""
        firsts = {tp: lane.first for tp, lane in self._lanes.items()}
        await asyncio.gather(*(lane.clear(timeout_s) for lane in self._lanes.values()))
        for tp, first in firsts.items():
            if first is not None:
                try:
                    self._reading.seek(tp, first)
                except Exception as error:
                    # Closed, or the partition has moved: the committed offset applies.
                    _logger.debug("no need to rewind %s: %s", tp, error)
            self._resume(self._lanes[tp])

    def _resume(self, lane: TransactionalLane) -> None:
        if not lane.paused:
            return
        lane.paused = False
        if lane.held:
            return
        try:
            self._reading.resume(lane.lane)
        except Exception as error:
            _logger.debug("no need to resume %s: %s", lane.lane, error)
