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
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog
from tracing.delivery.loop_log import LoopLog
from tracing.delivery.reading import begin_reading, end_reading
from tracing.delivery.transaction_runner import AbandonedError, TransactionRunner
from tracing.delivery.transactional_clients import group_offsets
from tracing.delivery.transactional_consumer import TransactionalConsumer
from tracing.delivery.transactional_lanes import IDLE_S, TransactionalLanes
from tracing.delivery.transactions import owned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.consumer import TracedConsumer
    from tracing.delivery.transactional_lane import Standing
    from tracing.delivery.transactions import GroupOffsets
    from tracing.failure_handling import FailureHandling
    from tracing.producer import TracedProducer

_logger = EventLog("tracing")

_POLL_MS: Final = 200
# For cancelled handlers and an abort, on the way out and before partitions move.
_GRACE_S: Final = 10.0


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
            consumer,
            inner,
            offsets,
            concurrency=concurrency,
            interval_s=commit_interval_s,
            grace_s=min(drain_timeout_s, _GRACE_S),
        )
        lanes = TransactionalLanes(consumer, handler, handling, max_buffered)
        loop = _Loop(
            consumer,
            lanes,
            offsets,
            runner,
            stop,
            max_buffered=max_buffered,
            drain_timeout_s=drain_timeout_s,
        )
        log = LoopLog(consumer)
        begin_reading(consumer.wrapped)
        consumer.divert_calls(TransactionalConsumer(consumer.wrapped))
        consumer.rebalances.add(loop)
        consumer.rebalances.add(log)
        try:
            with log.running():
                await loop.run()
        finally:
            consumer.rebalances.remove(log)
            consumer.rebalances.remove(loop)
            consumer.divert_calls(None)
            end_reading(consumer.wrapped)
            handling.log.close()


class _Loop:
    def __init__(
        self,
        consumer: TracedConsumer,
        lanes: TransactionalLanes,
        offsets: GroupOffsets,
        runner: TransactionRunner,
        stop: asyncio.Event,
        *,
        max_buffered: int,
        drain_timeout_s: float,
    ) -> None:
        self._consumer = consumer
        self._client: Any = consumer.wrapped
        self._lanes = lanes
        self._polls = consumer.polls_for_loop()
        self._offsets = offsets
        self._runner = runner
        self._stop = stop
        self._max_buffered = max_buffered
        self._drain_timeout_s = drain_timeout_s
        self._rebalances = 0
        self._work = asyncio.Event()
        self._ending = False

    async def run(self) -> None:
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
            try:
                working.result()
            except AbandonedError as error:
                _logger.warning("%s", error)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """End the transaction under way before partitions move."""
        self._rebalances += 1
        await self._quiet()
        await self._lanes.lose(partitions, self._runner.grace_s)
        self._polls.forget(partitions)

    def arriving(self, partitions: Collection[TopicPartition]) -> None:
        """Do nothing: what is fetched waits until it is sure where to go on."""

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
                    await asyncio.wait((polling,), timeout=self._runner.grace_s)
            if polling.done() and not polling.cancelled():
                self._lanes.add(polling.result())
                await self._lanes.pass_over()
                self._work.set()

    async def _poll(self) -> Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]:
        await self._synchronize()
        return await self._polls.poll(_POLL_MS)

    def _standing(self) -> Standing | None:
        membership = self._offsets.membership()
        return None if membership is None else (membership, self._rebalances)

    async def _synchronize(self) -> None:
        """Go to the committed offsets of partitions that are new, once those are decided.

        What aiokafka goes to by itself may be older: it does not wait for transactions of an
        earlier member that are undecided.
        """
        standing = self._standing()
        if standing is None or not self._runner.idle.is_set():
            return
        unsure = self._lanes.unsure(standing)
        if not unsure:
            return
        stable = await self._offsets.stable_offsets(unsure)
        if stable is None:
            _logger.info("waiting until a transaction of an earlier member of the group is decided")
            await asyncio.sleep(IDLE_S)
            return
        for tp, offset in stable.items():
            lane = self._lanes.of(tp)
            if offset is not None and lane.first != offset:
                await lane.clear(self._runner.grace_s)
            if standing != self._standing() or tp not in self._client.assignment():
                return
            lane = self._lanes.of(tp)
            if offset is not None and lane.first != offset:
                self._client.seek(tp, offset)
                lane.go_on(offset)
                self._polls.forget([tp])
            lane.standing = standing
        self._work.set()

    async def _run_transactions(self) -> None:
        while not (self._stop.is_set() or self._ending):
            self._work.clear()
            standing = self._standing()
            chosen, alone, wait_s = self._lanes.choose(standing)
            if standing is None or not chosen:
                await _within(wait_s, self._work)
                continue
            limits = dict.fromkeys(chosen, 1 if alone else self._max_buffered)
            await self._runner.run(standing[0], limits, alone=alone)
            self._lanes.resume()
            if self._runner.failure is not None:
                # What was handled beside it, in the transaction that it spoiled, is done by itself.
                others = {lane: lane.taken_back for lane in chosen if lane.taken_back}
                if others and not alone and self._standing() == standing:
                    await self._runner.run(standing[0], others, alone=False)
                raise self._runner.failure

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
        await _within(self._runner.grace_s, self._runner.idle)

    async def _leave(self, working: asyncio.Task[None]) -> None:
        self._ending = True
        self._work.set()
        await self._quiet()
        if not self._runner.idle.is_set():
            self._runner.abandon()
        await asyncio.wait((working,), timeout=self._runner.grace_s)
        working.cancel()
        await self._lanes.leave(self._runner.grace_s)


async def _within(timeout_s: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
