"""The partitions of a loop: each has a worker, and fetching pauses for those that are slow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tracing.core.log import EventLog, described
from tracing.delivery.positions import Positions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.delivery.lane import PartitionWorker

_logger = EventLog("tracing")


class Workers:
    """The workers of one loop, by partition. For one event loop.

    Attributes:
        positions: Where the consumer stands.

    Args:
        client: The consumer itself.
        make: Makes the worker of a partition.
        max_buffered: Records of one partition that wait before its fetching pauses.
    """

    def __init__(
        self,
        client: Any,
        make: Callable[[TopicPartition], PartitionWorker],
        max_buffered: int,
    ) -> None:
        self.positions = Positions(client)
        self._client = client
        self._make = make
        self._max_buffered = max_buffered
        self._workers: dict[TopicPartition, PartitionWorker] = {}
        self._revoked: set[TopicPartition] = set()
        # Fetched while the application's listener was still hearing of the assignment.
        self._early: dict[TopicPartition, list[Sequence[ConsumerRecord[Any, Any]]]] = {}
        # By the loop, because records wait, and by the application.
        self._paused: set[TopicPartition] = set()
        self._held: set[TopicPartition] = set(paused_now(client))

    def get(self, tp: TopicPartition) -> PartitionWorker | None:
        """Return a partition's worker, if it has one."""
        return self._workers.get(tp)

    def every(self) -> dict[TopicPartition, PartitionWorker]:
        """Return all workers, also those whose partitions are about to move."""
        return dict(self._workers)

    def owned(self) -> dict[TopicPartition, PartitionWorker]:
        """Return the workers whose partitions stay."""
        return {tp: worker for tp, worker in self._workers.items() if tp not in self._revoked}

    def dispatch(
        self, records: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]
    ) -> None:
        """Hand records out, and fetch no more of partitions where too many wait."""
        for tp, batch in records.items():
            if not batch:
                continue
            if tp not in self._revoked:
                worker = self._worker(tp)
                worker.add(batch)
                waiting = worker.waiting
            elif tp in self._early:
                self._early[tp].append(batch)
                waiting = sum(map(len, self._early[tp]))
            else:
                # Of the assignment before: they come again, here or elsewhere.
                continue
            if waiting > self._max_buffered and tp not in self._paused:
                self._client.pause(tp)
                self._paused.add(tp)
        for tp in tuple(self._paused.intersection(self._workers)):
            if self._workers[tp].waiting <= self._max_buffered // 2:
                self._paused.discard(tp)
                if tp not in self._held:
                    self._client.resume(tp)

    async def settle(self) -> None:
        """Count as handled what was no record: markers and aborted records of transactions."""
        if self.positions.trusted:
            await self.positions.read(self._passed, without=self._revoked)

    async def finish(
        self, workers: Iterable[PartitionWorker], timeout_s: float
    ) -> list[TopicPartition]:
        """Finish the records under way; returns the partitions where that took too long."""
        finishing = tuple(workers)
        finished = await asyncio.gather(*(worker.finish(timeout_s) for worker in finishing))
        return [worker.tp for worker, done in zip(finishing, finished, strict=True) if not done]

    def close(self) -> None:
        """Begin no further record."""
        for worker in self._workers.values():
            worker.close()

    def cut_off(self) -> None:
        """Cancel what is under way."""
        for worker in self._workers.values():
            if worker.busy:
                worker.cut_off()

    def sought(self, tp: TopicPartition, offset: int) -> None:
        """Forget what was fetched of a partition that goes on elsewhere."""
        worker = self._workers.get(tp)
        if worker is not None:
            worker.seek(offset)
        if tp in self._early:
            self._early[tp].clear()
        self.positions.forget((tp,))

    def hold(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin no record of these partitions."""
        for tp in partitions:
            self._held.add(tp)
            if tp in self._workers:
                self._workers[tp].hold()

    def release(self, partitions: Iterable[TopicPartition]) -> None:
        """Go on with these partitions."""
        for tp in partitions:
            self._held.discard(tp)
            # If there is still too much of it, the next poll shows that.
            self._paused.discard(tp)
            if tp in self._workers:
                self._workers[tp].release()

    def held(self) -> set[TopicPartition]:
        """Return the partitions that the application has paused."""
        return set(self._held)

    def revoked(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, PartitionWorker]:
        """Take no more of partitions that are about to move; returns their workers."""
        self._revoked.update(partitions)
        for tp in partitions:
            self._early.pop(tp, None)
        return {tp: self._workers[tp] for tp in partitions if tp in self._workers}

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Forget partitions that have moved."""
        for tp in partitions:
            self._workers.pop(tp, None)
        self._paused.difference_update(partitions)
        self._held.difference_update(partitions)
        self.positions.forget(partitions)

    def arriving(self, partitions: Collection[TopicPartition]) -> None:
        """Keep what is fetched of partitions from now on, until they are `assigned`."""
        self._early = {tp: [] for tp in partitions if tp in self._revoked}

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Begin with partitions that came."""
        self._revoked.difference_update(partitions)
        early, self._early = self._early, {}
        for tp, batches in early.items():
            for batch in batches:
                self.dispatch({tp: batch})
        self.positions.note_soon()

    def subscription_changed(self) -> None:
        """Forget all partitions; whichever come next are new."""
        self.forget({*self._workers, *self._paused, *self._held, *self.positions.first()})
        self.positions.note_soon()

    def rewind(self) -> None:
        """Go back over what was fetched in vain, and fetch again what only the loop paused."""
        for tp, worker in self.owned().items():
            # Even where all was handled: a fetch that failed on a record may have taken those
            # before it along.
            if worker.resume_at is not None:
                tidied(self._client.seek, tp, worker.resume_at)
        if not self.positions.trusted:
            for tp, position in self.positions.first().items():
                if tp not in self._workers:
                    tidied(self._client.seek, tp, position)
        for tp, batches in self._early.items():
            if batches:
                tidied(self._client.seek, tp, batches[0][0].offset)
        for tp in self._paused - self._held:
            tidied(self._client.resume, tp)

    def _worker(self, tp: TopicPartition) -> PartitionWorker:
        worker = self._workers.get(tp)
        if worker is None:
            worker = self._workers[tp] = self._make(tp)
            if tp in self._held:
                worker.hold()
        return worker

    def _passed(self, tp: TopicPartition, position: int) -> None:
        worker = self._workers.get(tp)
        if worker is not None:
            if worker.idle and (worker.resume_at is None or worker.resume_at < position):
                worker.advance(position)
        elif self.positions.moved(tp, position):
            self._worker(tp).advance(position)


def tidied(step: Callable[..., object], *args: object) -> None:
    """Take a step of the way out; where the consumer is closed or has moved on, it is not due."""
    try:
        step(*args)
    except Exception as error:
        # The committed offset is where it goes on then.
        _logger.debug("a step on the way out was not due: %s", described(error))


def paused_now(client: Any) -> Iterable[TopicPartition]:
    """Return the partitions of a consumer that are paused."""
    try:
        return tuple(client.paused())
    except Exception:
        # A double without it has nothing paused.
        return ()
