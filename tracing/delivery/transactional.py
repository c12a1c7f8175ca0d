"""Exactly once: what handlers send, dead letters and offsets in one transaction (KIP-98, KIP-447).

The loop takes what was fetched, begins a transaction, lets handlers work, for at most
`commit_interval_s`, adds the offsets and commits. When an attempt fails the transaction is aborted,
with all that was sent in it: the other records are handled again, and the one that failed gets
transactions of its own, one for each further attempt after its delay, and one for its dead letter.

What that takes of the application:

- Consumers of the topics that are written read with `isolation_level="read_committed"`; others see
  what was taken back as well.
- Each process has a `transactional_id` of its own, the same one after a restart: its start then
  ends the transaction of its predecessor at once, not after `transaction_timeout_ms`.
- A transaction that takes longer than the producer's `transaction_timeout_ms` (60 s by default) is
  aborted by the broker, and the loop ends with `ProducerFenced`: set it above `commit_interval_s`
  and the longest handler together.
- Handlers send with the producer and await the send (`send` or `send_and_wait`) before they
  return. Anything else that sends with it meanwhile gets a `RuntimeError`. A send that fails later
  than that counts as a failed attempt of its record.

What telemetry reports: the process span of a record whose transaction was aborted because of
another one has the outcome `retried` and counts in no duration; handled again, the record has a new
process span, with the outcome of the transaction that committed. Attempts after a failure are
`retry` spans as in any other loop. A dead letter counts when its transaction is committed. Messages
count as sent when the broker acknowledged them, as in any transaction.

A member that was stopped, and whose partitions have moved, cannot commit: offsets are added with
its generation. The new owner begins only where no transaction on its offsets is undecided.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from tracing.delivery.loop_log import LoopLog
from tracing.delivery.transaction_runner import ABORT_S, TransactionRunner
from tracing.delivery.transactional_clients import group_offsets
from tracing.delivery.transactional_lane import TransactionalLane
from tracing.delivery.transactions import owned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.consumer import TracedConsumer
    from tracing.delivery.transactional_lane import Standing
    from tracing.delivery.transactions import GroupOffsets
    from tracing.failure_handling import FailureHandling
    from tracing.producer import TracedProducer

_logger = logging.getLogger("tracing")

_POLL_MS: Final = 200
_POLL_S: Final = _POLL_MS / 1000


async def consume_transactional(
    consumer: TracedConsumer,
    handler: Callable[[ConsumerRecord[Any, Any]], Awaitable[object]],
    handling: FailureHandling,
    producer: TracedProducer,
    *,
    stop: asyncio.Event,
    concurrency: int | None,
    max_buffered: int,
    commit_interval_s: float,
    drain_timeout_s: float,
) -> None:
    """Run `consume(..., transactional=producer)`, whose options these are.

    Raises:
        ValueError: A client does not fit.
        RuntimeError: A client is not started, or the installed aiokafka is built otherwise.
        Exception: As `consume`.
    """
    offsets = group_offsets(consumer, producer, handling)
    with owned(producer) as inner:
        runner = TransactionRunner(
            consumer, inner, offsets, concurrency=concurrency, interval_s=commit_interval_s
        )
        loop = _Loop(consumer, handler, handling, offsets, runner, stop, max_buffered)
        log = LoopLog(consumer)
        consumer.rebalances.add(loop)
        consumer.rebalances.add(log)
        try:
            with log.running():
                await loop.run(drain_timeout_s)
        finally:
            consumer.rebalances.remove(log)
            consumer.rebalances.remove(loop)
            handling.log.close()


class _Loop:
    def __init__(
        self,
        consumer: TracedConsumer,
        handler: Callable[[ConsumerRecord[Any, Any]], Awaitable[object]],
        handling: FailureHandling,
        offsets: GroupOffsets,
        runner: TransactionRunner,
        stop: asyncio.Event,
        max_buffered: int,
    ) -> None:
        self._consumer = consumer
        self._handler = handler
        self._handling = handling
        self._offsets = offsets
        self._runner = runner
        self._stop = stop
        self._max_buffered = max_buffered
        self._drain_timeout_s = 0.0
        self._lanes: dict[TopicPartition, TransactionalLane] = {}
        self._rebalances = 0
        self._work = asyncio.Event()
        self._alone_last = False
        self._ending = False

    async def run(self, drain_timeout_s: float) -> None:
        self._drain_timeout_s = drain_timeout_s
        working = asyncio.create_task(self._run_transactions(), name="consume transactions")
        stopping = asyncio.create_task(self._stop.wait(), name="consume waits for its end")
        try:
            await self._fetch(working, stopping)
        except Exception as error:
            if type(error).__name__ != "ConsumerStoppedError":
                raise
        finally:
            stopping.cancel()
            await self._leave(working)
        if working.done() and not working.cancelled():
            working.result()

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """End the transaction under way before partitions move."""
        self._rebalances += 1
        await self._quiet()
        for tp in partitions:
            lane = self._lanes.pop(tp, None)
            if lane is not None:
                await lane.clear(ABORT_S)

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Begin anew, with what is committed now."""
        del partitions
        self._rebalances += 1

    async def _fetch(self, working: asyncio.Task[None], stopping: asyncio.Task[bool]) -> None:
        while not (self._stop.is_set() or working.done()):
            polling = asyncio.create_task(self._poll(), name="consume polls")
            try:
                await asyncio.wait(
                    (polling, stopping, working), return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                if not polling.done():
                    polling.cancel()
                    await asyncio.wait((polling,), timeout=ABORT_S)
            if polling.done() and not polling.cancelled():
                self._dispatch(polling.result())

    async def _poll(self) -> Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]:
        await self._synchronize()
        return await self._consumer.getmany(timeout_ms=_POLL_MS)

    def _standing(self) -> Standing | None:
        membership = self._offsets.membership()
        return None if membership is None else (membership, self._rebalances)

    async def _synchronize(self) -> None:
        """Go to the committed offsets of partitions that are new, once those are decided.

        What aiokafka goes to by itself may be older: it does not wait for transactions of an
        earlier member that are undecided.
        """
        standing = self._standing()
        new = [
            tp
            for tp in self._consumer.assignment()
            if (lane := self._lanes.get(tp)) is None or lane.standing != standing
        ]
        if standing is None or not new or not self._runner.idle.is_set():
            return
        stable = await self._offsets.stable_offsets(new)
        if stable is None:
            _logger.info("waiting until a transaction of an earlier member of the group is decided")
            await asyncio.sleep(_POLL_S)
            return
        for tp, offset in stable.items():
            lane = self._lane(tp)
            if offset is not None and lane.first != offset:
                await lane.clear(ABORT_S)
                lane = self._lane(tp)
            if standing != self._standing() or tp not in self._consumer.assignment():
                return
            if offset is not None and lane.first != offset:
                self._consumer.seek(tp, offset)
            lane.standing = standing
        self._work.set()

    def _dispatch(
        self, records: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]
    ) -> None:
        for tp, batch in records.items():
            lane = self._lane(tp)
            lane.add(batch)
            if len(lane.queue) > self._max_buffered and not lane.paused:
                self._consumer.pause(tp)
                lane.paused = True
        self._work.set()

    def _lane(self, tp: TopicPartition) -> TransactionalLane:
        lane = self._lanes.get(tp)
        if lane is None:
            self._handling.prepare(tp.topic)
            lane = self._lanes[tp] = TransactionalLane(
                tp, self._consumer, self._handler, self._handling
            )
        return lane

    async def _run_transactions(self) -> None:
        while not (self._stop.is_set() or self._ending):
            self._work.clear()
            standing = self._standing()
            chosen, alone, wait_s = self._choose(standing)
            if standing is None or not chosen:
                await self._wait_for_work(wait_s)
                continue
            limits = dict.fromkeys(chosen, 1 if alone else self._max_buffered)
            await self._runner.run(standing[0], limits, alone=alone)
            self._resume(self._max_buffered // 2)
            if self._runner.failure is not None:
                # What was handled beside it, in the transaction that it spoiled, is done by itself.
                others = {lane: lane.taken_back for lane in chosen if lane.taken_back}
                if others and not alone and self._standing() == standing:
                    await self._runner.run(standing[0], others, alone=False)
                raise self._runner.failure

    def _choose(self, standing: Standing | None) -> tuple[list[TransactionalLane], bool, float]:
        """What the next transaction is for, whether for a single record; or how long to wait."""
        now = asyncio.get_running_loop().time()
        ready = [lane for lane in self._lanes.values() if lane.queue and lane.standing == standing]
        shared = [lane for lane in ready if not lane.queue[0].alone]
        single = [lane for lane in ready if lane.queue[0].alone]
        first = min(single, key=lambda lane: lane.queue[0].due, default=None)
        wait_s = _POLL_S if first is None else first.queue[0].due - now
        # In turns, so that a partition whose records all fail does not keep the others waiting.
        if first is not None and wait_s <= 0 and not (shared and self._alone_last):
            self._alone_last = True
            return [first], True, 0.0
        self._alone_last = False
        return shared, False, min(max(wait_s, 0.0), _POLL_S)

    async def _wait_for_work(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._work.wait()
        except TimeoutError:
            pass

    async def _quiet(self) -> None:
        """Let the transaction under way end, or abort it where that takes too long."""
        self._runner.close()
        if await _within(self._drain_timeout_s, self._runner.idle):
            return
        _logger.warning(
            "records were still under way after %g s; their transaction is aborted and they will "
            "be delivered again",
            self._drain_timeout_s,
        )
        self._runner.cut_off()
        await _within(ABORT_S, self._runner.idle)

    async def _leave(self, working: asyncio.Task[None]) -> None:
        self._ending = True
        self._work.set()
        await self._quiet()
        if not self._runner.idle.is_set():
            self._runner.abandon()
        await asyncio.wait((working,), timeout=ABORT_S)
        working.cancel()
        for tp, lane in self._lanes.items():
            first = lane.first
            await lane.clear(ABORT_S)
            if first is not None:
                try:
                    self._consumer.seek(tp, first)
                except Exception as error:
                    # Closed, or no longer ours: then the committed offset is where it goes on.
                    _logger.debug("no need to rewind %s: %s", tp, error)
        self._resume(0)

    def _resume(self, waiting: int) -> None:
        for tp, lane in self._lanes.items():
            if lane.paused and len(lane.queue) <= waiting:
                lane.paused = False
                try:
                    self._consumer.resume(tp)
                except Exception as error:
                    _logger.debug("no need to resume %s: %s", tp, error)


async def _within(timeout_s: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
