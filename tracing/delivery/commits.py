"""Commits of what a loop has handled: one at a time, and none is waited for without end."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog, described

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from aiokafka.structs import TopicPartition

    from tracing.delivery.lane import PartitionWorker
    from tracing.kafka.consumer import TracedConsumer

    Commit = Callable[[Mapping[TopicPartition, Any]], Awaitable[None]]

_logger = EventLog("tracing")

# The group has moved on: the records come back, to whichever member has the partition now. Named,
# because aiokafka itself is no dependency.
_LOST_PARTITION: Final = frozenset(
    {"CommitFailedError", "IllegalStateError", "IllegalGenerationError", "UnknownMemberIdError",
     "RebalanceInProgressError"}
)  # fmt: skip


class Commits:
    """Commits what workers have handled. For one event loop.

    Two commits never overlap: the one that was begun first could otherwise end last and set the
    group back.

    Args:
        consumer: The consumer.
        interval_s: Seconds between two periodic commits, at least.
        failed: Called with the error that a periodic commit ended with, where it is fatal.
    """

    def __init__(
        self, consumer: TracedConsumer, interval_s: float, failed: Callable[[Exception], None]
    ) -> None:
        self._consumer = consumer
        self._interval_s = interval_s
        self._failed = failed
        self._one_at_a_time = asyncio.Lock()
        self._periodic: asyncio.Task[None] | None = None
        self._began = monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for the next periodic commit."""
        return self._periodic is None and monotonic() - self._began >= self._interval_s

    def begin(self, workers: Mapping[TopicPartition, PartitionWorker]) -> None:
        """Begin a periodic commit, if there is anything to commit, and do not wait for it."""
        self._began = monotonic()
        if any(worker.uncommitted is not None for worker in workers.values()):
            self._periodic = asyncio.create_task(self.commit(workers), name="periodic commit")
            self._periodic.add_done_callback(self._ended)

    async def commit(self, workers: Mapping[TopicPartition, PartitionWorker]) -> None:
        """Commit; where the partitions have moved meanwhile, their records come back.

        Raises:
            Exception: The commit failed for another reason, and not only for now.
        """
        try:
            await self.commit_by(self._consumer.commit, workers)
        except Exception as error:
            if not (getattr(error, "retriable", False) or type(error).__name__ in _LOST_PARTITION):
                raise
            _logger.warning(
                "commit of %s failed (%s); records handled since the last commit may be delivered "
                "again",
                ", ".join(f"{tp.topic}[{tp.partition}]" for tp in workers),
                type(error).__name__,
            )

    async def commit_by(
        self, commit: Commit, workers: Mapping[TopicPartition, PartitionWorker]
    ) -> None:
        """Commit by this function, and raise whatever it raises."""
        if self._consumer.info.group is None:
            return
        async with self._one_at_a_time:
            offsets = {
                tp: offset
                for tp, worker in workers.items()
                if (offset := worker.uncommitted) is not None
            }
            if not offsets:
                return
            await commit(offsets)
            for tp, offset in offsets.items():
                workers[tp].committed(offset)

    async def commit_in_time(
        self, workers: Mapping[TopicPartition, PartitionWorker], timeout_s: float
    ) -> None:
        """Commit, but wait for it only so long: aiokafka would try for ever without a broker.

        Raises:
            Exception: As `commit`.
        """
        if self._periodic is not None:
            # It may wait for an answer that does not come; the broker has it first in any case.
            self._periodic.cancel()
        if not await in_time(self.commit(workers), timeout_s):
            _logger.warning(
                "the last commit did not succeed within %g s; records handled since the one before "
                "will be delivered again",
                timeout_s,
            )

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._periodic = None
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._failed(error)


async def in_time(work: Coroutine[Any, Any, object], timeout_s: float) -> bool:
    """Wait for something so long and not longer, even where it refuses to be cancelled.

    Returns:
        Whether it succeeded.

    Raises:
        Exception: What it raised.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=timeout_s)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_let_go)
    # A client that is closed cancels what it was asked for; that is not our own cancellation.
    if not task.done() or task.cancelled():
        return False
    task.result()
    return True


def _let_go(task: asyncio.Future[object]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.debug("what was not waited for any longer ended with %s", described(error))
