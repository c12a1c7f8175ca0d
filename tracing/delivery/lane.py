"""The records of one partition, handled one after the other."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog
from tracing.delivery.attempts import Attempts, failure_of
from tracing.delivery.unreadable import Passing
from tracing.messaging.unreadable import BrokenRecord, next_offset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.delivery.failure_handling import FailureHandling
    from tracing.kafka.consumer import TracedConsumer

_logger = EventLog("tracing")

# A handler that is cancelled gets this long to clean up; the loop does not wait longer for it.
_CLEAN_UP_S = 0.5

HANDLED_BY: ContextVar[tuple[object, ...]] = ContextVar("pipeline-tracing-loops", default=())
"""The loops whose handlers the current task runs in, the outermost first."""

BEGINNING: Final = -1
"""The offset of a partition's first record, whatever that is."""
END: Final = sys.maxsize
"""The offset of a partition's next record, whatever that is."""


class PartitionWorker:
    """Handles a partition's records in order, and knows the offset from which to go on.

    Attributes:
        tp: The partition.
        failure: The error of the record that could not be handled; nothing follows it.

    Args:
        owner: The loop, which code called from a handler finds in `HANDLED_BY`.
        consumer: The consumer that brought the records.
        tp: The partition.
        handler: Called with each record.
        handling: What to do about failures.
        places: Bounds the records under way in all partitions; `None` where nothing does.
        stop: No record is begun once it is set.
        failed: Called with the error of a record that could not be handled.
    """

    def __init__(
        self,
        owner: object,
        consumer: TracedConsumer,
        tp: TopicPartition,
        handler: Callable[[ConsumerRecord[Any, Any]], Awaitable[object]],
        handling: FailureHandling,
        *,
        places: asyncio.Semaphore | None,
        stop: asyncio.Event,
        failed: Callable[[Exception], None],
    ) -> None:
        self.tp = tp
        self.failure: Exception | None = None
        self._owner = owner
        self._consumer = consumer
        self._handler = handler
        self._handling = handling
        self._places = places
        self._stop = stop
        self._failed = failed
        self._queue: deque[ConsumerRecord[Any, Any]] = deque()
        self._current: ConsumerRecord[Any, Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._open = True
        self._held = False
        self._closed = False
        self._cut_off = False
        self._reported = False
        self._has_place = False
        self._backing_off = False
        self._sought: int | None = None
        self._next: int | None = None
        self._misplaced = False
        self._committed: int | None = None

    @property
    def waiting(self) -> int:
        """Number of records that are not begun."""
        return len(self._queue)

    @property
    def uncommitted(self) -> int | None:
        """The offset to commit; `None` where everything handled is committed."""
        return None if self._next == self._committed else self._next

    @property
    def resume_at(self) -> int | None:
        """The first offset that is not handled; `None` where it is unknown."""
        if self._current is None:
            if self._queue:
                return self._queue[0].offset
            return None if self._misplaced else self._next
        if self._sought is None:
            return self._current.offset
        return min(self._current.offset, self._sought)

    @property
    def position(self) -> int | None:
        """As `resume_at`; but once the application has sought, only what came after that counts."""
        if self._sought is None:
            return self.resume_at
        return self._queue[0].offset if self._queue else None

    @property
    def busy(self) -> bool:
        """Whether a record is under way."""
        return self._task is not None and not self._task.done()

    @property
    def idle(self) -> bool:
        """Whether everything that came is handled."""
        return not self._queue and self._current is None

    def add(self, records: Sequence[ConsumerRecord[Any, Any]]) -> None:
        """Handle these after what is here already."""
        self._queue.extend(records)
        self._misplaced = False
        self._start()

    def hold(self) -> None:
        """Begin no record until `release`."""
        self._held, self._open = True, False

    def release(self) -> None:
        """Go on after `hold`."""
        self._held, self._open = False, not self._closed
        self._start()

    def close(self) -> None:
        """Begin no further record."""
        self._closed, self._open = True, False

    def seek(self, offset: int) -> None:
        """Forget what waits: the application goes on at another offset.

        Args:
            offset: Where; `BEGINNING` or `END` where only the broker knows.
        """
        self._queue.clear()
        if self._current is None:
            self._place(offset)
        else:
            self._sought = offset

    def advance(self, offset: int) -> None:
        """Count everything before an offset as handled; only for an idle worker."""
        self._next, self._misplaced = offset, False

    def committed(self, offset: int) -> None:
        """Remember what is committed."""
        self._committed = offset

    async def finish(self, timeout_s: float) -> bool:
        """Finish the record under way and begin no other; false where it took too long."""
        self.close()
        task = self._task
        if task is None or task.done():
            return True
        if self._current is None or self._backing_off:
            # It only waits, for a place, which others' handlers may hold for long, or for the
            # next attempt.
            self.cut_off()
        await asyncio.wait((task,), timeout=timeout_s)
        if task.done():
            return True
        self.cut_off()
        await asyncio.wait((task,), timeout=_CLEAN_UP_S)
        if not task.done():
            self._report()
            # Or a bounded loop could never handle anything again.
            self._give_place_back()
        return False

    def cut_off(self) -> None:
        """Cancel the record under way: it stays unhandled and comes back."""
        self.close()
        self._cut_off = True
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        # Behind a record that was begun and not handled nothing follows.
        if self._queue and self._open and not self.busy and self._current is None:
            self._task = asyncio.create_task(self._run(), name=f"consume {self.tp}")

    async def _run(self) -> None:
        HANDLED_BY.set((*HANDLED_BY.get(), self._owner))
        try:
            while self._queue and self._open and not self._stop.is_set():
                if self._consumer.addressed_elsewhere(self._queue[0]):
                    self._next = next_offset(self._queue.popleft())
                elif not await self._handle_next():
                    return
        except Exception as error:
            # None of a handler's errors comes here. Of any other one, the loop ends: the partition
            # would stand still, and nothing would say so.
            self.failure = error
            self._failed(error)

    async def _handle_next(self) -> bool:
        """Handle the next record; false where it stays unhandled, so that nothing may follow it."""
        if self._places is not None:
            await self._take_place()
            if not self._queue or not self._open or self._stop.is_set():
                self._give_place_back()
                return False
        record = self._current = self._queue.popleft()
        try:
            attempts = self._attempts(record)
            delay_s = await self._attempt(attempts, record)
            while delay_s is not None:
                if not await self._back_off(delay_s, attempts):
                    return False
                delay_s = await self._attempt(attempts, record)
        finally:
            self._give_place_back()
        if self._cut_off:
            self._report()
            return False
        if self.failure is not None:
            return False
        self._next = next_offset(record)
        if self._sought is not None:
            self._place(self._sought)
            self._sought = None
        self._current = None
        return True

    def _attempts(self, record: Any) -> Attempts | Passing:
        if isinstance(record, BrokenRecord):
            return Passing(record, self._handling.unreadable)
        return Attempts(
            self._consumer.process(record),
            self._handler,
            self._handling,
            cut_off=self._is_cut_off,
        )

    def _place(self, offset: int) -> None:
        """Go on at an offset that the application has sought."""
        # What was handled stays so until the broker has said where this is.
        if offset not in {BEGINNING, END}:
            self._next = offset
        elif not self._queue:
            self._misplaced = True

    async def _attempt(
        self, attempts: Attempts | Passing, record: ConsumerRecord[Any, Any]
    ) -> float | None:
        try:
            return await attempts.make()
        except BaseException as error:
            if self._cut_off:
                if isinstance(error, Exception):
                    return None
                raise
            self.failure = failure_of(error, record)
            self._failed(self.failure)
            if isinstance(error, Exception):
                return None
            raise

    async def _back_off(self, delay_s: float, attempts: Attempts | Passing) -> bool:
        """Wait, and then for a place; false where it is time to stop.

        Meanwhile the place that the record had is free for other partitions' records.
        """
        self._give_place_back()
        if self._closed:
            # The attempt under way was to be finished, not the attempts after it.
            attempts.give_up()
            return False
        self._backing_off = True
        try:
            try:
                await asyncio.wait_for(self._stop.wait(), delay_s)
            except TimeoutError:
                await self._take_place()
                return True
        except BaseException:
            attempts.give_up()
            raise
        finally:
            self._backing_off = False
        attempts.give_up()
        return False

    async def _take_place(self) -> None:
        if self._places is not None:
            await self._places.acquire()
            self._has_place = True

    def _give_place_back(self) -> None:
        if self._has_place and self._places is not None:
            self._has_place = False
            self._places.release()

    def _is_cut_off(self) -> bool:
        return self._cut_off

    def _report(self) -> None:
        """Log, once, that a handler outlived its cancellation."""
        if self._reported or self._current is None:
            return
        self._reported = True
        _logger.warning(
            "the handler of %s[%d] offset %d was cancelled and went on; its result does not count, "
            "the record will be delivered again, and nothing more is handled here",
            self.tp.topic,
            self.tp.partition,
            self._current.offset,
        )
