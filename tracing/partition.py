"""The records of one partition, handled one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from tracing.outcome import Rejected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.consumer import TracedConsumer


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
        places: asyncio.Semaphore,
        stop: asyncio.Event,
    ) -> None:
        self.tp = tp
        self.failure: Exception | None = None
        self._consumer = consumer
        self._handler = handler
        self._places = places
        self._stop = stop
        self._queue: deque[ConsumerRecord[Any, Any]] = deque()
        self._current: ConsumerRecord[Any, Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._cut_off = False
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
        task = self._task
        finished = True
        if task is not None and not task.done():
            if self._current is None:
                # It only waits for a place; others' handlers may hold that for long.
                self.cut_off()
            _, pending = await asyncio.wait((task,), timeout=timeout_s)
            finished = not pending
            if pending:
                self.cut_off()
                # A handler may refuse to be cancelled; nobody waits for that for ever.
                await asyncio.wait(pending, timeout=timeout_s)
        self._queue = waiting
        return finished

    def cut_off(self) -> None:
        """Cancel the record under way: it stays unhandled and comes back."""
        self._cut_off = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._queue:
            async with self._places:
                if not self._queue or self._stop.is_set():
                    return
                record = self._current = self._queue.popleft()
                try:
                    async with self._consumer.process(record):
                        await self._handler(record)
                except Rejected:
                    pass
                except BaseException as error:
                    if self._cut_off:
                        raise
                    self.failure = _failure(error, record)
                    task = asyncio.current_task()
                    if isinstance(error, Exception) or (
                        # Something that the handler waited for was cancelled, not the handler.
                        isinstance(error, asyncio.CancelledError) and task and not task.cancelling()
                    ):
                        return
                    raise
                self._next = record.offset + 1
                self._current = None


def _failure(error: BaseException, record: ConsumerRecord[Any, Any]) -> Exception:
    place = f"{record.topic}[{record.partition}] offset {record.offset}"
    if isinstance(error, Exception):
        error.add_note(f"while handling {place}")
        return error
    failure = RuntimeError(f"handling {place} ended with {type(error).__name__}")
    failure.__cause__ = error
    return failure
