"""The records of one partition, handled one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from tracing.attempts import Attempts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.consumer import TracedConsumer
    from tracing.failure_handling import FailureHandling


class PartitionWorker:
    """Handles a partition's records in order, and knows from where to go on.

    Attributes:
        tp: The partition.
        failure: The error of the record that could not be handled; nothing follows it.
    """

    def __init__(
        self,
        consumer: TracedConsumer,
        tp: TopicPartition,
        handler: Callable[[ConsumerRecord[Any, Any]], Awaitable[object]],
        handling: FailureHandling,
        places: asyncio.Semaphore,
        stop: asyncio.Event,
    ) -> None:
        self.tp = tp
        self.failure: Exception | None = None
        self._consumer = consumer
        self._handler = handler
        self._handling = handling
        self._places = places
        self._stop = stop
        self._queue: deque[ConsumerRecord[Any, Any]] = deque()
        self._current: ConsumerRecord[Any, Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._cut_off = False
        self._backing_off = False
        self._finishing = False
        self._next: int | None = None
        self._committed: int | None = None

    @property
    def waiting(self) -> int:
        """Records that are not begun."""
        return len(self._queue)

    @property
    def uncommitted(self) -> int | None:
        """The offset to commit; `None` where everything handled is committed."""
        return None if self._next == self._committed else self._next

    @property
    def unhandled(self) -> int | None:
        """The offset of the first record that was taken and not handled; `None` without one."""
        record = self._current or (self._queue[0] if self._queue else None)
        return None if record is None else record.offset

    @property
    def resume_at(self) -> int | None:
        """The offset from which to go on after what was handled; `None` where nothing is known."""
        return self._next if self.unhandled is None else self.unhandled

    @property
    def busy(self) -> bool:
        """Whether a record is under way."""
        return self._task is not None and not self._task.done()

    def add(self, records: Sequence[ConsumerRecord[Any, Any]]) -> None:
        """Handle these after what is here already."""
        self._queue.extend(records)
        # Behind a record that was begun and not handled nothing follows.
        if not self.busy and self.failure is None and self._current is None:
            self._task = asyncio.create_task(self._run(), name=f"consume {self.tp}")

    def committed(self, offset: int) -> None:
        """Remember what is committed."""
        self._committed = offset

    async def finish(self, timeout_s: float) -> bool:
        """Finish the record under way and begin no other; false where it took too long."""
        waiting, self._queue = self._queue, deque()
        self._finishing = True
        task = self._task
        finished = True
        if task is not None and not task.done():
            if self._current is None or self._backing_off:
                # It only waits, for a place, which others' handlers may hold for long, or for the
                # next attempt.
                self.cut_off()
            _, pending = await asyncio.wait((task,), timeout=timeout_s)
            finished = not pending
            if pending:
                self.cut_off()
                # A handler may refuse to be cancelled; nobody waits for that for ever.
                await asyncio.wait(pending, timeout=timeout_s)
        self._queue = waiting
        self._finishing = False
        return finished

    def cut_off(self) -> None:
        """Cancel the record under way: it stays unhandled and comes back."""
        self._cut_off = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._queue and not self._stop.is_set():
            if self._consumer.addressed_elsewhere(self._queue[0]):
                self._next = self._queue.popleft().offset + 1
            elif not await self._handle_next():
                return

    async def _handle_next(self) -> bool:
        """Handle the next record; false where it stays unhandled, so that nothing may follow it."""
        async with self._places:
            if not self._queue or self._stop.is_set():
                return False
            record = self._current = self._queue.popleft()
            attempts = Attempts(self._consumer.process(record), self._handler, self._handling)
            delay_s = await self._attempt(attempts, record)
        while delay_s is not None:
            if not await self._back_off(delay_s, attempts):
                return False
            try:
                delay_s = await self._attempt(attempts, record)
            finally:
                self._places.release()
        if self.failure is not None:
            return False
        self._next = record.offset + 1
        self._current = None
        return True

    async def _attempt(self, attempts: Attempts, record: ConsumerRecord[Any, Any]) -> float | None:
        try:
            return await attempts.make()
        except BaseException as error:
            if self._cut_off:
                raise
            self.failure = _failure(error, record)
            if isinstance(error, Exception):
                return None
            raise

    async def _back_off(self, delay_s: float, attempts: Attempts) -> bool:
        """Wait, and then for a place; false where it is time to stop.

        Meanwhile the place that the record had is free for other partitions' records.
        """
        if self._finishing:
            # The attempt under way was to be finished, not the attempts after it.
            attempts.give_up()
            return False
        self._backing_off = True
        try:
            try:
                await asyncio.wait_for(self._stop.wait(), delay_s)
            except TimeoutError:
                await self._places.acquire()
                return True
        except BaseException:
            attempts.give_up()
            raise
        finally:
            self._backing_off = False
        attempts.give_up()
        return False


def _failure(error: BaseException, record: ConsumerRecord[Any, Any]) -> Exception:
    place = f"{record.topic}[{record.partition}] offset {record.offset}"
    if isinstance(error, Exception):
        error.add_note(f"while handling {place}")
        return error
    failure = RuntimeError(f"handling {place} ended with {type(error).__name__}")
    failure.__cause__ = error
    return failure
