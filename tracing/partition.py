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
        if not self.busy and self.failure is None:
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
            _, pending = await asyncio.wait((task,), timeout=timeout_s)
            finished = not pending
            for late in pending:
                late.cancel()
            if pending:
                await asyncio.wait(pending)
        self._queue = waiting
        return finished

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
                except Exception as error:
                    error.add_note(
                        f"while handling {record.topic}[{record.partition}] offset {record.offset}"
                    )
                    self.failure = error
                    return
                self._next = record.offset + 1
                self._current = None
