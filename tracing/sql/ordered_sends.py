"""Sends the records read from an outbox: one by one within a key, in parallel across keys."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from tracing.sql.outbox_rows import OrderKey, StoredRecord
    from tracing.sql.send_failures import SendFailures

MAX_QUEUED: Final = 50
"""The maximum number of queued records of one key, so that a slow key leaves room for others."""


class OrderedSends:
    """The records that are being sent. For one event loop.

    A record is held from `take` until its row is deleted (`forget`), or until it is released
    because an earlier record of its key failed; then the next read of the outbox returns it.

    Args:
        send: Sends a record; returns when the broker has it.
        failures: The records that could not be sent.
        changed: Called when it is worth reading the outbox again.
        many: The number of acknowledged records that makes it worth it.
    """

    def __init__(
        self,
        send: Callable[[StoredRecord], Awaitable[object]],
        failures: SendFailures,
        changed: Callable[[], None],
        *,
        many: int,
    ) -> None:
        self._send = send
        self._failures = failures
        self._changed = changed
        self._many = many
        self._queues: dict[OrderKey, deque[StoredRecord]] = {}
        self._tasks: dict[OrderKey, asyncio.Task[None]] = {}
        self._held: set[int] = set()
        self._acknowledged: set[int] = set()
        self._released: set[OrderKey] = set()
        self._refused: set[OrderKey] = set()
        self._left_records = False
        self._stopping = False

    @property
    def held(self) -> frozenset[int]:
        """The sequences of all held records."""
        return frozenset(self._held)

    @property
    def acknowledged(self) -> frozenset[int]:
        """The sequences of the held records that the broker has."""
        return frozenset(self._acknowledged)

    @property
    def left_records(self) -> bool:
        """Whether a record was read since the last `begin_read` and must be read again."""
        return self._left_records

    def busy(self) -> set[OrderKey]:
        """Return the keys that have records in their queue."""
        return set(self._queues)

    def unsent(self) -> list[StoredRecord]:
        """Return the held records that the broker has not acknowledged."""
        return [record for queue in self._queues.values() for record in queue]

    def queued_for(self, topics: Collection[str]) -> int:
        """Return the number of queued records of some topics."""
        return sum(len(queue) for queue in self._queues.values() if queue[0].topic in topics)

    def full(self) -> set[OrderKey]:
        """Return the keys whose queue is full."""
        return {key for key, queue in self._queues.items() if len(queue) >= MAX_QUEUED}

    def begin_read(self) -> None:
        """Mark the start of a read of the outbox, whose result the next `take` gets."""
        self._released.clear()
        self._left_records = False

    def take(self, records: Sequence[StoredRecord]) -> int:
        """Send the records of a read, in their order; return how many were accepted.

        A key that released records after the read began accepts none: they come first.
        """
        taken = 0
        for record in records:
            key = record.order_key
            queue = self._queues.get(key)
            if queue is not None and len(queue) >= MAX_QUEUED:
                self._refused.add(key)
                self._left_records = True
                continue
            if key in self._released:
                continue
            self._held.add(record.sequence)
            taken += 1
            if queue is not None:
                queue.append(record)
                continue
            self._queues[key] = deque([record])
            self._tasks[key] = asyncio.create_task(
                self._run(key), name=f"outbox sends {record.topic}"
            )
        return taken

    def forget(self, sequences: frozenset[int]) -> None:
        """Stop holding records whose rows are deleted."""
        self._held -= sequences
        self._acknowledged -= sequences

    async def finish(self, timeout_s: float) -> None:
        """Wait for the sends in progress, cancel those that take longer, and release the rest."""
        self._stopping = True
        try:
            if self._tasks:
                await asyncio.wait(tuple(self._tasks.values()), timeout=timeout_s)
        finally:
            await self.cut_off()

    async def cut_off(self) -> None:
        """Cancel all sends; their records may have arrived or not, so they stay in the outbox."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        # A task that is cancelled before it begins does not end its key itself.
        for key in tuple(self._tasks):
            self._ended(key)

    async def _run(self, key: OrderKey) -> None:
        queue = self._queues[key]
        try:
            while queue and not self._stopping:
                record = queue[0]
                try:
                    await self._send(record)
                except asyncio.CancelledError as cancelled:
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        raise
                    # The sender was not cancelled itself, but something that it awaited was.
                    error = RuntimeError("the sender ended with CancelledError")
                    error.__cause__ = cancelled
                    self._failures.failed(record, error)
                    return
                except Exception as error:
                    self._failures.failed(record, error)
                    return
                queue.popleft()
                self._acknowledged.add(record.sequence)
                self._failures.over(key)
                if len(self._acknowledged) == self._many:
                    self._changed()
        finally:
            self._ended(key)

    def _ended(self, key: OrderKey) -> None:
        """Release what is left of a key, and report it if that is worth a read."""
        queue = self._queues.pop(key)
        del self._tasks[key]
        if queue:
            self._released.add(key)
            self._left_records = True
            self._held.difference_update(record.sequence for record in queue)
        # Rows of several keys are deleted together, so not every empty queue calls for a read.
        if not self._queues or queue or key in self._refused:
            self._refused.discard(key)
            self._changed()
