"""The records of one partition, handled in order in transactions."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from tracing.delivery.transactional_record import TransactionalRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from tracing.delivery.failure_handling import FailureHandling
    from tracing.messaging.reading import ConsumerPort, TransactionalReading
    from tracing.messaging.transactions import Membership
    from tracing.messaging.transport import Lane

Epoch = tuple["Membership", int]
"""The time between two rebalances: the consumer's membership, and the rebalances before it."""


class TransactionalLane:
    """A partition's records that no committed transaction has handled.

    Attributes:
        lane: The partition.
        queue: Its records in order; the first `joined` are in the current transaction.
        joined: How many records joined that transaction.
        rolled_back: How many of the last transaction's records were rolled back.
        epoch: The epoch in which the next offset is certain; `None` without one.
        paused: Whether its fetching is paused.
        held: Whether the application has paused it.
    """

    def __init__(
        self,
        lane: Lane,
        consumer: ConsumerPort[Any],
        reading: TransactionalReading[Any],
        handler: Callable[[Any], Awaitable[object]],
        handling: FailureHandling,
    ) -> None:
        self.lane = lane
        self.queue: deque[TransactionalRecord] = deque()
        self.joined = 0
        self.rolled_back = 0
        self.epoch: Epoch | None = None
        self.paused = False
        self.held = False
        self._consumer = consumer
        self._reading = reading
        self._handler = handler
        self._handling = handling
        self._next: int | None = None
        self._began: int | None = None
        self._passed: int | None = None

    @property
    def first(self) -> int | None:
        """The offset to continue from; `None` if nothing has been read or committed yet."""
        return self._reading.offset(self.queue[0].record) if self.queue else self._next

    @property
    def offset(self) -> int | None:
        """The offset that the current transaction commits, or `None`."""
        if not self.joined:
            return self._passed
        return self._reading.after(self.queue[self.joined - 1].record)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to handle or to commit."""
        return bool(self.queue) or self._passed is not None

    @property
    def ready(self) -> bool:
        """Whether the next transaction may take records or offsets of this lane."""
        return self.waiting and (not self.held or (self.alone and self.queue[0].in_progress))

    @property
    def alone(self) -> bool:
        """Whether the next record needs a transaction of its own."""
        return bool(self.queue) and self.queue[0].alone

    def expect(self, offset: int) -> None:
        """Expect the records from this offset on."""
        self._next = offset

    def pass_over(self, position: int) -> None:
        """Note the consumer's position; it has returned every record before it.

        The end of a transaction takes an offset of its own, and records of aborted transactions
        are never returned. Without this, the group would never get past them (KIP-98).
        """
        if self.queue:
            return
        start = self._began if self._next is None else self._next
        if start is None:
            self._began = position
        elif position > start:
            self._passed = position

    def add(self, records: Sequence[Any]) -> None:
        """Take fetched records; those that are already in the queue stay."""
        offset = self._reading.offset
        last = offset(self.queue[-1].record) if self.queue else -1
        self.queue.extend(
            TransactionalRecord(record, self._consumer, self._handler, self._handling)
            for record in records
            if offset(record) > last
        )

    def next_record(self, *, alone: bool) -> TransactionalRecord | None:
        """Return the next record that may join, or `None`."""
        if self.joined >= len(self.queue):
            return None
        record = self.queue[self.joined]
        if self.held and not record.in_progress:
            return None
        return record if alone or not record.alone else None

    def separate(self) -> None:
        """Give each record of the current transaction its own, to find the one that fails."""
        for record in islice(self.queue, self.joined):
            record.alone = True

    async def decided(self, *, committed: bool) -> Exception | None:
        """Leave the transaction; return the final failure of a record, if there is one."""
        records = list(islice(self.queue, self.joined))
        if committed:
            self._next = self.offset if self.offset is not None else self._next
            self._passed = None
            for _ in records:
                self.queue.popleft()
        self.joined = 0
        self.rolled_back = 0 if committed else len(records)
        failures = [await record.transaction_ended() for record in records]
        return next((failure for failure in failures if failure is not None), None)

    async def cancel(self, timeout_s: float) -> bool:
        """Cancel records in progress; return false if a handler continues nevertheless."""
        return await _cancelled(self.queue, timeout_s)

    def cut_off(self) -> None:
        """Cancel records in progress, and do not wait for them."""
        for record in self.queue:
            record.cancel()

    async def clear(self, timeout_s: float) -> bool:
        """Forget all records: they are fetched again, or belong to another consumer."""
        records, self.queue = self.queue, deque()
        self.joined = 0
        self.epoch = None
        self._next = self._began = self._passed = None
        return await _cancelled(records, timeout_s)


async def _cancelled(records: Iterable[TransactionalRecord], timeout_s: float) -> bool:
    in_progress: Collection[TransactionalRecord] = [
        record for record in records if record.in_progress
    ]
    for record in in_progress:
        record.cancel()
    return all([await record.wait_ended(timeout_s) for record in in_progress])
