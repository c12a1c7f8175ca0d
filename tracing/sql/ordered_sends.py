"""Sends what was read from an outbox: a key's records one by one, different keys side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from tracing.sql.outbox_rows import OrderKey, StoredRecord
    from tracing.sql.send_failures import SendFailures

MAX_QUEUED: Final = 50
"""Records of one key that are taken at a time, so that a slow key leaves room for others."""


class OrderedSends:
    """The records that are on their way. For one event loop.

    A record is known from when it is taken until it is forgotten, which is when its row is
    deleted, or until its key gives it back to the database because one before it failed.

    Args:
        send: Sends a record; returns when the broker has it.
        failures: What could not be sent.
        changed: Called when there is reason to look at the outbox again.
        many: So many acknowledged records are such a reason.
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
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: set[int] = set()
        self._acknowledged: set[int] = set()
        self._given_back: set[OrderKey] = set()
        self._left: set[OrderKey] = set()
        self._stopping = False

    @property
    def known(self) -> frozenset[int]:
        """The sequences of all records that were taken and not forgotten."""
        return frozenset(self._known)

    @property
    def acknowledged(self) -> frozenset[int]:
        """Those of them that the broker has."""
        return frozenset(self._acknowledged)

    def busy(self) -> set[OrderKey]:
        """The lanes that have records on their way."""
        return set(self._queues)

    def under_way_to(self, topics: Collection[str]) -> int:
        """How many records are on their way to some topics."""
        return sum(len(queue) for queue in self._queues.values() if queue[0].topic in topics)

    def full(self) -> set[OrderKey]:
        """The lanes that take no more records now."""
        return {key for key, queue in self._queues.items() if len(queue) >= MAX_QUEUED}

    def reading(self) -> None:
        """Take it that a read of the outbox begins: what `take` gets next is its result."""
        self._given_back.clear()

    def take(self, records: Sequence[StoredRecord]) -> int:
        """Send records that were read, in their order; returns how many were taken.

        A key that gave records back after the read began gets none: those that were read come
        after them.
        """
        taken = 0
        for record in records:
            key = record.order_key
            queue = self._queues.get(key)
            if queue is not None and len(queue) >= MAX_QUEUED:
                self._left.add(key)
                continue
            if key in self._given_back:
                continue
            self._known.add(record.sequence)
            taken += 1
            if queue is not None:
                queue.append(record)
                continue
            self._queues[key] = deque([record])
            task = asyncio.create_task(self._run(key), name=f"outbox sends {record.topic}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return taken

    def forget(self, sequences: frozenset[int]) -> None:
        """Take it that rows are deleted."""
        self._known -= sequences
        self._acknowledged -= sequences

    async def finish(self, timeout_s: float) -> None:
        """Let what is being sent be acknowledged, cancel what takes longer, give back the rest."""
        self._stopping = True
        try:
            if self._tasks:
                await asyncio.wait(tuple(self._tasks), timeout=timeout_s)
        finally:
            await self.cut_off()

    async def cut_off(self) -> None:
        """Cancel all sends; whether their records arrive is open, so they stay in the outbox."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

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
                    # Something that the sender waited for was cancelled, not the sending.
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
            del self._queues[key]
            if queue:
                self._given_back.add(key)
                self._known.difference_update(record.sequence for record in queue)
            # The rows of several lanes are deleted together, so not every end is a reason.
            if not self._queues or queue or key in self._left:
                self._left.discard(key)
                self._changed()
