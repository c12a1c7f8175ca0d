"""The loop of `consume(transactional=...)`: poll, run transactions, end within a bounded time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog
from tracing.delivery.closing import Closing
from tracing.delivery.transaction_runner import AbandonedError
from tracing.delivery.transactional_lanes import IDLE_S
from tracing.delivery.workers import tidied
from tracing.messaging.reading import ConsumerClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from tracing.delivery.transaction_runner import TransactionRunner
    from tracing.delivery.transactional_lane import Epoch
    from tracing.delivery.transactional_lanes import TransactionalLanes
    from tracing.messaging.reading import ConsumerPort, TransactionalReading
    from tracing.messaging.transactions import GroupOffsets
    from tracing.messaging.transport import Lane

_logger = EventLog("tracing")

_POLL_MS: Final = 200


class TransactionalLoop:
    """One run of `consume(transactional=...)`, on one event loop.

    Args:
        consumer: The consumer.
        reading: The loop's access to the consumer.
        lanes: Its partitions.
        offsets: The group's offsets.
        runner: Runs the transactions.
        stop: Ends the loop.
        max_buffered: The most records of one partition in a transaction.
        drain_timeout_s: Time for the current transaction to end, in seconds.
    """

    def __init__(
        self,
        consumer: ConsumerPort[Any],
        reading: TransactionalReading[Any],
        lanes: TransactionalLanes,
        offsets: GroupOffsets,
        runner: TransactionRunner,
        stop: asyncio.Event,
        *,
        max_buffered: int,
        drain_timeout_s: float,
    ) -> None:
        self._consumer = consumer
        self._reading = reading
        self._lanes = lanes
        self._offsets = offsets
        self._runner = runner
        self._stop = stop
        self._max_buffered = max_buffered
        self._drain_timeout_s = drain_timeout_s
        self._rebalances = 0
        self._work = asyncio.Event()
        self._ended = asyncio.Event()
        self._changes: list[Callable[[], None]] = []
        self._closing = Closing(consumer)

    async def run(self) -> None:
        """Run until there is a reason to end.

        Raises:
            Exception: What the loop ended with.
        """
        working = asyncio.create_task(self._run_transactions(), name="consume transactions")
        stopping = {
            asyncio.create_task(reason.wait(), name="consume waits for its end")
            for reason in (self._stop, self._ended)
        }
        try:
            await self._fetch(working, stopping)
        except ConsumerClosedError:
            _logger.debug("the consumer was closed while a loop read it")
        finally:
            for reason in stopping:
                reason.cancel()
            await self._leave(working)
        if working.done() and not working.cancelled():
            try:
                working.result()
            except AbandonedError as error:
                _logger.warning("%s", error)

    async def revoked(self, partitions: Collection[Lane]) -> None:
        """End the current transaction before partitions move."""
        self._rebalances += 1
        await self._quiet()
        await self._lanes.lose(partitions, self._runner.grace_s)
        self._reading.forget(partitions)

    def arriving(self, partitions: Collection[Lane]) -> None:
        """Do nothing: fetched records wait until their partition's next offset is certain."""

    async def assigned(self, partitions: Collection[Lane]) -> None:
        """Start again from the offsets that are committed now."""
        del partitions
        self._rebalances += 1

    def position_of(self, tp: Lane) -> int | None:
        """Return the first offset that is not committed; `None` if nothing was fetched."""
        return self._lanes.first(tp)

    def hold(self, partitions: Iterable[Lane]) -> None:
        """Start no further record of these partitions."""
        self._lanes.hold(partitions)

    def release(self, partitions: Iterable[Lane]) -> None:
        """Continue with these partitions."""
        self._lanes.release(partitions)
        self._work.set()

    def held(self) -> set[Lane]:
        """Return the partitions that the application has paused."""
        return self._lanes.held()

    def end(self, then: Callable[[], None]) -> None:
        """Finish and commit records in progress, then call `then`."""
        self._changes.append(then)
        self._end()

    async def close(self) -> None:
        """End the loop, then the consumer; handlers and listeners do not wait for it."""
        self._end()
        inside = self._runner.handles_caller()
        await self._closing.ask(inside=inside or self._consumer.called_by_listener())

    def left(self) -> None:
        """Make the changes that waited for the end of the loop, with the consumer's own methods."""
        for change in self._changes:
            tidied(change)
        self._closing.loop_left()

    async def closed(self) -> None:
        """Wait for a requested close of the consumer, for a bounded time."""
        await self._closing.wait()

    def _end(self) -> None:
        self._runner.close()
        self._ended.set()
        self._work.set()

    async def _fetch(
        self, working: asyncio.Task[None], stopping: Collection[asyncio.Task[bool]]
    ) -> None:
        while not (self._over or working.done()):
            polling = asyncio.create_task(self._poll(), name="consume polls")
            try:
                await asyncio.wait(
                    (polling, *stopping, working), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                if not polling.done():
                    polling.cancel()
                    await asyncio.wait((polling,), timeout=self._runner.grace_s)
            if polling.done() and not polling.cancelled():
                self._lanes.add(polling.result())
                await self._lanes.pass_over()
                self._work.set()

    async def _poll(self) -> Mapping[Lane, Sequence[Any]]:
        await self._synchronize()
        return await self._reading.poll(_POLL_MS)

    @property
    def _over(self) -> bool:
        return self._stop.is_set() or self._ended.is_set()

    def _epoch(self) -> Epoch | None:
        membership = self._offsets.membership()
        return None if membership is None else (membership, self._rebalances)

    async def _synchronize(self) -> None:
        """Seek new partitions to their committed offsets, once these are decided.

        aiokafka's own choice may be older, because it does not wait for undecided transactions of
        an earlier member.
        """
        epoch = self._epoch()
        if epoch is None or not self._runner.idle.is_set():
            return
        without_position = self._lanes.without_position(epoch)
        if not without_position:
            return
        stable = await self._offsets.stable_offsets(without_position)
        if stable is None:
            _logger.info("waiting until a transaction of an earlier member of the group is decided")
            await asyncio.sleep(IDLE_S)
            return
        for tp, offset in stable.items():
            lane = self._lanes.of(tp)
            if offset is not None and lane.first != offset:
                await lane.clear(self._runner.grace_s)
            if epoch != self._epoch() or tp not in self._reading.lanes():
                return
            lane = self._lanes.of(tp)
            if offset is not None and lane.first != offset:
                self._reading.seek(tp, offset)
                lane.expect(offset)
                self._reading.forget([tp])
            lane.epoch = epoch
        self._work.set()

    async def _run_transactions(self) -> None:
        while not self._over:
            self._work.clear()
            epoch = self._epoch()
            chosen, alone, wait_s = self._lanes.choose(epoch)
            if epoch is None or not chosen:
                await _within(wait_s, self._work)
                continue
            limits = dict.fromkeys(chosen, 1 if alone else self._max_buffered)
            await self._runner.run(epoch[0], limits, alone=alone)
            self._lanes.resume()
            if self._runner.failure is not None:
                # Handle the other records of the aborted transaction in one of their own.
                others = {lane: lane.rolled_back for lane in chosen if lane.rolled_back}
                if others and not (alone or self._over) and self._epoch() == epoch:
                    await self._runner.run(epoch[0], others, alone=False)
                raise self._runner.failure

    async def _quiet(self) -> None:
        """Let the current transaction end, or abort it if that takes too long."""
        self._runner.close()
        if await _within(self._drain_timeout_s, self._runner.idle):
            return
        _logger.warning(
            "records were still under way after %g s; their transaction is aborted and they will "
            "be delivered again",
            self._drain_timeout_s,
        )
        self._runner.cut_off()
        # Time for the handlers to end, and then for the abort.
        await _within(2 * self._runner.grace_s, self._runner.idle)

    async def _leave(self, working: asyncio.Task[None]) -> None:
        self._end()
        try:
            await self._quiet()
            if not self._runner.idle.is_set():
                self._runner.abandon()
            await asyncio.wait((working,), timeout=self._runner.grace_s)
            working.cancel()
            await self._lanes.leave(self._runner.grace_s)
        except asyncio.CancelledError:
            # Cancelled again: do not wait for the rest.
            self._runner.cut_off()
            self._lanes.cut_off()
            raise


async def _within(timeout_s: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
