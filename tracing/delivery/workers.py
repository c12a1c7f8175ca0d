"""The lanes of a loop: each has a worker, and fetching pauses for those that are slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tracing.core.log import EventLog, described

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from tracing.delivery.lane import LaneWorker
    from tracing.messaging.reading import Reading
    from tracing.messaging.transport import Lane

_logger = EventLog("tracing")


class Workers:
    """The workers of one loop, by lane. For one event loop.

    Args:
        reading: What the loop reads the consumer with.
        make: Makes the worker of a lane.
        max_buffered: Most messages of one lane that wait before its fetching pauses.
    """

    def __init__(
        self, reading: Reading[Any], make: Callable[[Any], LaneWorker], max_buffered: int
    ) -> None:
        self._reading = reading
        self._settlement = reading.settlement
        self._make = make
        self._max_buffered = max_buffered
        self._workers: dict[Lane, LaneWorker] = {}
        self._revoked: set[Lane] = set()
        # Fetched while the application's listener was still learning of the assignment.
        self._early: dict[Lane, list[Sequence[Any]]] = {}
        # By the loop, because messages wait, and by the application.
        self._paused: set[Lane] = set()
        self._held: set[Lane] = set(reading.paused())

    def get(self, lane: Lane) -> LaneWorker | None:
        """Return a lane's worker, if it has one."""
        return self._workers.get(lane)

    def every(self) -> tuple[LaneWorker, ...]:
        """Return all workers, including those whose lanes are about to move."""
        return tuple(self._workers.values())

    def lanes(self) -> list[Lane]:
        """Return all lanes, including those that are about to move."""
        return [*{**self._workers, **dict.fromkeys(self._settlement.lanes())}]

    def owned(self) -> list[Lane]:
        """Return the lanes that are not about to move."""
        return [lane for lane in self.lanes() if lane not in self._revoked]

    def dispatch(self, messages: Mapping[Lane, Sequence[Any]]) -> None:
        """Dispatch messages to workers, and pause the fetching of lanes where too many wait."""
        for lane, batch in messages.items():
            if not batch:
                continue
            if lane not in self._revoked:
                worker = self._workers.get(lane) or self._new_worker(lane)
                waiting = worker.add(batch)
            elif lane in self._early:
                self._early[lane].append(batch)
                waiting = sum(map(len, self._early[lane]))
            else:
                # From the previous assignment: they are delivered again, here or elsewhere.
                continue
            if waiting > self._max_buffered and lane not in self._paused:
                self._reading.pause(lane)
                self._paused.add(lane)
        if not self._paused:
            return
        for lane in tuple(self._paused.intersection(self._workers)):
            if self._workers[lane].waiting <= self._max_buffered // 2:
                self._paused.discard(lane)
                if lane not in self._held:
                    self._reading.resume(lane)

    async def pass_over(self) -> None:
        """Count offsets that hold no message as handled."""
        await self._settlement.pass_over(self._idle, without=self._revoked)

    def forget_spent(self) -> None:
        """Forget lanes without messages that the settlement does not need either."""
        kept = self._revoked | self._paused
        for lane in tuple(self._settlement.spent()):
            worker = self._workers.get(lane)
            if lane not in kept and (worker is None or worker.spent):
                self._workers.pop(lane, None)
                self._settlement.forget((lane,))

    async def finish(self, workers: Iterable[LaneWorker], timeout_s: float) -> list[Lane]:
        """Finish the messages in progress; return the lanes where that took too long."""
        finishing = tuple(workers)
        finished = await asyncio.gather(*(worker.finish(timeout_s) for worker in finishing))
        return [worker.lane for worker, done in zip(finishing, finished, strict=True) if not done]

    def close(self) -> None:
        """Begin no further message."""
        for worker in self._workers.values():
            worker.close()

    def cut_off(self) -> None:
        """Cancel the messages in progress."""
        for worker in self._workers.values():
            if worker.busy:
                worker.cut_off()

    def drop(self, lane: Lane) -> None:
        """Forget the messages fetched from a lane whose position the application has moved."""
        worker = self._workers.get(lane)
        if worker is not None:
            worker.drop()
        if lane in self._early:
            self._early[lane].clear()

    def hold(self, lanes: Iterable[Lane]) -> None:
        """Begin no message of these lanes."""
        for lane in lanes:
            self._held.add(lane)
            if lane in self._workers:
                self._workers[lane].hold()

    def release(self, lanes: Iterable[Lane]) -> None:
        """Continue with these lanes."""
        for lane in lanes:
            self._held.discard(lane)
            # If too many of its messages still wait, the next dispatch pauses it again.
            self._paused.discard(lane)
            if lane in self._workers:
                self._workers[lane].release()

    def held(self) -> set[Any]:
        """Return the lanes that the application has paused."""
        return set(self._held)

    def revoked(self, lanes: Collection[Lane]) -> list[LaneWorker]:
        """Accept no more messages of lanes that are about to move; return their workers."""
        self._revoked.update(lanes)
        for lane in lanes:
            self._early.pop(lane, None)
        return [self._workers[lane] for lane in lanes if lane in self._workers]

    def forget(self, lanes: Collection[Lane]) -> None:
        """Forget lanes that have moved."""
        for lane in lanes:
            self._workers.pop(lane, None)
        self._paused.difference_update(lanes)
        self._held.difference_update(lanes)
        self._settlement.forget(lanes)

    def arriving(self, lanes: Collection[Lane]) -> None:
        """Keep messages fetched from these lanes until the lanes are `assigned`."""
        self._early = {lane: [] for lane in lanes if lane in self._revoked}

    def assigned(self, lanes: Collection[Lane]) -> None:
        """Start handling newly assigned lanes."""
        self._revoked.difference_update(lanes)
        early, self._early = self._early, {}
        for lane, batches in early.items():
            for batch in batches:
                self.dispatch({lane: batch})
        self._reading.lanes_changed()

    def subscription_changed(self) -> None:
        """Forget all lanes; those assigned next are new."""
        self.forget({*self._workers, *self._paused, *self._held})
        self._settlement.forget(None)
        self._reading.lanes_changed()

    async def give_back(self) -> None:
        """Give back unhandled messages, and resume lanes that only the loop paused."""
        unhandled: dict[Lane, Sequence[Any]] = {}
        for lane in self.owned():
            worker = self._workers.get(lane)
            unhandled[lane] = () if worker is None else worker.unhandled
        for lane, batches in self._early.items():
            unhandled[lane] = [message for batch in batches for message in batch]
        await self._settlement.give_back(unhandled)
        for lane in self._paused - self._held:
            tidied(self._reading.resume, lane)

    def _new_worker(self, lane: Lane) -> LaneWorker:
        worker = self._workers[lane] = self._make(lane)
        if lane in self._held:
            worker.hold()
        return worker

    def _idle(self, lane: Lane) -> bool:
        worker = self._workers.get(lane)
        return worker is None or worker.idle


def tidied(step: Callable[..., object], *args: object) -> None:
    """Take a step of the shutdown; it may fail once the consumer is closed or reassigned."""
    try:
        step(*args)
    except Exception as error:
        # Consumption then resumes at the committed offset.
        _logger.debug("a step on the way out was not due: %s", described(error))
