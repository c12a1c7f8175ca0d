"""Run transactions, one at a time: begin, let records join, add the offsets, commit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tracing.core.log import EventLog
from tracing.messaging.transactions import (
    COMMITTED,
    ROLLED_BACK,
    GroupMovedOnError,
    SendFailedError,
    Transaction,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from tracing.delivery.transactional_lane import TransactionalLane
    from tracing.delivery.transactional_record import TransactionalRecord
    from tracing.messaging.reading import ConsumerPort
    from tracing.messaging.transactions import GroupOffsets, Membership, TransactionalProducer

_logger = EventLog("tracing")
_T = TypeVar("_T")

_UNLIMITED: Final = 1_000_000


class AbandonedError(Exception):
    """The broker did not answer, so it is unknown whether a transaction is committed."""


class TransactionRunner:
    """Runs transactions for a loop, one at a time.

    Args:
        consumer: The consumer of the records.
        producer: Runs the transactions.
        offsets: The group's offsets.
        concurrency: The most records handled at a time.
        interval_s: How long a transaction takes further records, in seconds.
        grace_s: How long cancelled handlers may take to end, in seconds.

    Attributes:
        grace_s: As passed.
        idle: Set while no transaction is open.
        failure: The final failure of a record.
    """

    def __init__(
        self,
        consumer: ConsumerPort[Any],
        producer: TransactionalProducer,
        offsets: GroupOffsets,
        *,
        concurrency: int | None,
        interval_s: float,
        grace_s: float,
    ) -> None:
        self.grace_s = grace_s
        self.idle = asyncio.Event()
        self.idle.set()
        self.failure: Exception | None = None
        self._consumer = consumer
        self._producer = producer
        self._offsets = offsets
        self._places = asyncio.Semaphore(concurrency or _UNLIMITED)
        self._interval_s = interval_s
        self._transaction: Transaction | None = None
        self._cut_off = asyncio.Event()
        self._abandoned = asyncio.Event()

    def close(self) -> None:
        """Let no further records join the current transaction."""
        if self._transaction is not None:
            self._transaction.open = False

    def cut_off(self) -> None:
        """Cancel the handlers of the current transaction, and abort it."""
        self.close()
        self._cut_off.set()

    def handles_caller(self) -> bool:
        """Whether the caller is a handler of the current transaction."""
        return self._transaction is not None and self._transaction.entered

    def abandon(self) -> None:
        """Stop waiting for the broker, which decides the transaction, at the latest by time-out."""
        self._abandoned.set()

    async def run(
        self, membership: Membership, limits: Mapping[TransactionalLane, int], *, alone: bool
    ) -> bool:
        """Handle records in one transaction, and commit it if all of them succeed.

        Args:
            membership: The membership with which the records were fetched.
            limits: The most records that may join, by partition.
            alone: Whether the transaction is for a record that failed before.

        Returns:
            Whether it was committed.

        Raises:
            KafkaError: The producer is fenced, or the cluster refuses; nothing is committed.
            AbandonedError: The broker did not answer before `abandon`.
        """
        transaction = self._transaction = Transaction(membership, alone=alone)
        self.idle.clear()
        self._cut_off.clear()
        try:
            self._offsets.check()
            await self._ask(self._producer.begin_transaction())
            try:
                await self._attempt(transaction, limits)
            except Exception:
                # If this fails too, the transaction ends by time-out.
                await self._ask(self._producer.abort_transaction(), quietly=True)
                raise
        finally:
            transaction.decide(ROLLED_BACK)
            committed = transaction.decided.result() is COMMITTED
            try:
                for lane in limits:
                    failed = await lane.decided(committed=committed)
                    self._note(failed)
            finally:
                self._transaction = None
                self.idle.set()
        return committed

    async def _attempt(
        self, transaction: Transaction, limits: Mapping[TransactionalLane, int]
    ) -> None:
        error: Exception | None = None
        if await self._handle(transaction, limits):
            try:
                if await self._commit(transaction, limits):
                    transaction.decide(COMMITTED)
                    return
            except SendFailedError as failed:
                cause = failed.__cause__
                error = cause if isinstance(cause, Exception) else failed
                for lane in limits:
                    lane.separate()
            except GroupMovedOnError as moved:
                _logger.warning(
                    "%s; the transaction is aborted and its records are delivered again", moved
                )
                for lane in limits:
                    lane.epoch = None
        self._offsets.check()
        await self._ask(self._producer.abort_transaction())
        if transaction.refused:
            self._offsets.renew()
        if error is not None and transaction.alone:
            transaction.decide(error)

    async def _handle(
        self, transaction: Transaction, limits: Mapping[TransactionalLane, int]
    ) -> bool:
        """Let records join; return whether all that joined were handled."""
        until = asyncio.get_running_loop().time() + self._interval_s
        tasks = {
            asyncio.create_task(self._handle_lane(lane, limit, transaction, until))
            for lane, limit in limits.items()
        }
        cut_off = asyncio.create_task(self._cut_off.wait())
        pending = set(tasks)
        try:
            while pending and not self._cut_off.is_set():
                done, _ = await asyncio.wait(
                    (*pending, cut_off), return_when=asyncio.FIRST_COMPLETED
                )
                pending -= done
        finally:
            transaction.open = False
            for task in (*tasks, cut_off):
                task.cancel()
            await asyncio.wait((*tasks, cut_off))
        if pending:
            await asyncio.gather(*(self._cancel(lane) for lane in limits))
            return False
        return all(task.result() for task in tasks)

    async def _handle_lane(
        self, lane: TransactionalLane, limit: int, transaction: Transaction, until: float
    ) -> bool:
        loop = asyncio.get_running_loop()
        while lane.joined < limit and loop.time() < until:
            record = lane.next_record(alone=transaction.alone)
            if record is None:
                break
            if not self._consumer.addressed_elsewhere(record.record):
                async with self._places:
                    if not transaction.open:
                        break
                    if not await self._take_turn(record, transaction):
                        transaction.open = False
                        return False
            lane.joined += 1
        return True

    async def _take_turn(self, record: TransactionalRecord, transaction: Transaction) -> bool:
        try:
            return await record.take_turn(transaction)
        except Exception as error:
            self._note(error)
            return False

    async def _cancel(self, lane: TransactionalLane) -> None:
        if not await lane.cancel(self.grace_s):
            place = self._consumer.info.transport.lane_names((lane.lane,))
            self._note(
                RuntimeError(
                    f"a handler of {place} ran for {self.grace_s:g} s after it was cancelled; "
                    "its sends are refused, and no further transaction begins"
                )
            )

    def _note(self, failure: Exception | None) -> None:
        if self.failure is None:
            self.failure = failure

    async def _commit(
        self, transaction: Transaction, limits: Mapping[TransactionalLane, int]
    ) -> bool:
        offsets = {lane.lane: lane.offset for lane in limits if lane.offset is not None}
        if not offsets:
            return False
        await self._ask(transaction.settle())
        await self._ask(self._offsets.add_offsets(offsets, transaction.membership))
        await self._ask(self._producer.commit_transaction())
        return True

    async def _ask(self, answer: Coroutine[Any, Any, _T], *, quietly: bool = False) -> _T | None:
        """Wait until the broker answers or the transaction is abandoned."""
        asked = asyncio.create_task(answer)
        abandoned = asyncio.create_task(self._abandoned.wait())
        try:
            await asyncio.wait((asked, abandoned), return_when=asyncio.FIRST_COMPLETED)
        finally:
            abandoned.cancel()
            if not asked.done():
                asked.cancel()
                await asyncio.wait((asked,), timeout=self.grace_s)
        try:
            return _answer(asked)
        except Exception as error:
            if not quietly:
                raise
            _logger.debug("the transaction could not be aborted: %s", type(error).__name__)
            return None


def _answer(asked: asyncio.Task[_T]) -> _T:
    if asked.cancelled() or not asked.done():
        raise AbandonedError(
            "the broker did not answer in time, so it is unknown whether the last transaction is "
            "committed; the next consumer of the group, with a new producer, finds out"
        )
    return asked.result()
