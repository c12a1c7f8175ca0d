"""The whole loop: poll, handle in partition order, commit what succeeded, leave in good order."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from tracing.consumer import TracedConsumer
from tracing.core.callables import require_async
from tracing.core.log import EventLog
from tracing.delivery.loop_log import LoopLog
from tracing.failure_handling import FailureHandling
from tracing.partition import PartitionWorker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.dead_letters import DeadLetters
    from tracing.producer import TracedProducer
    from tracing.retry import Retry

_logger = EventLog("tracing")

_POLL_MS = 200
_UNLIMITED = 1_000_000
# The group has moved on: the records come back, to whoever has the partition now. Named, because
# aiokafka itself is no dependency.
_LOST_PARTITION = frozenset(
    {"CommitFailedError", "IllegalStateError", "IllegalGenerationError", "UnknownMemberIdError",
     "RebalanceInProgressError"}
)  # fmt: skip


async def consume(
    consumer: TracedConsumer,
    handler: Callable[[ConsumerRecord[Any, Any]], Awaitable[object]],
    *,
    retry: Retry | None = None,
    dead_letters: DeadLetters | None = None,
    stop: asyncio.Event | None = None,
    concurrency: int | None = None,
    max_buffered: int = 500,
    commit_interval_s: float = 0.5,
    drain_timeout_s: float = 30.0,
    transactional: TracedProducer | None = None,
) -> None:
    """Handle a consumer's records until told to stop: at least once, in order per partition.

    Each record is handled inside its process span. Partitions are handled side by side; one
    partition's records one after the other. Offsets are committed after success only, every
    `commit_interval_s` and before partitions move to another consumer.

    A record that fails is tried again after a while, as `retry` says; the records behind it in its
    partition wait, other partitions go on, and the consumer keeps polling, so that it stays in its
    group however long that takes. When it has failed for good it becomes a dead letter, which the
    broker has before the record's offset is committed; without `dead_letters`, or where they
    cannot be sent, the loop ends with the error and the record is not committed. Replayed dead
    letters of other groups are skipped.

    It returns when `stop` is set or the consumer is stopped. On the way out, also when cancelled
    and before partitions move, records under way are finished and committed; the others are left
    for whoever consumes next, this consumer included.

    Ordinary logs have a WARNING for each failed attempt (logger `tracing.attempts`, ten a minute of
    a kind), an ERROR for each dead letter (`tracing.dead_letters`), and INFO when the loop starts,
    ends, and partitions move (`tracing.consume`), with their facts as `extra` fields.

    Args:
        consumer: A started consumer, made with `enable_auto_commit=False`.
        handler: An async function, called with each record, once per attempt. `tracing.Rejected`
            counts as handled; any other exception is a failed attempt. Of an `ExceptionGroup`, as
            a `TaskGroup` raises it, the worst error decides: `Unprocessable`, then what is not
            retryable, then any other, then `Rejected`.
        retry: When to try again; by default `Retry()` where there are dead letters, else never.
        dead_letters: Where records go that have failed for good. They are sent as the bytes that
            they are, so the consumer must have no deserializers: decode in the handler.
        stop: Set it to end the loop.
        concurrency: Records handled at a time, over all partitions; by default no limit but the
            number of partitions.
        max_buffered: Records of one partition that wait at most before its fetching pauses.
        commit_interval_s: Seconds between commits at most.
        drain_timeout_s: Seconds that records under way have to finish; then they are cancelled
            and will be delivered again.
        transactional: Handle records exactly once, on Kafka 2.5 or later: what handlers send with
            this transactional producer, dead letters (`DeadLetters(producer,
            transactional=True)`) and offsets are committed together, or not at all. What handlers
            do elsewhere, in a database for example, is still done at least once. See
            `tracing.delivery.transactional`.

    Raises:
        TypeError: `consumer` is not wrapped, or `handler` is not `async`, or does not take one
            argument. Of a lambda, or of a
            function that returns what another one gives it, only a call can show that: then it
            has run once, and its record is not committed.
        ValueError: The consumer commits by itself, which loses records that are under way; or
            a number is not positive; or there are dead letters, but no group or no bytes.
        Exception: What `handler` raised; its record and all after it are not committed. Or what
            the consumer raised: of a record that aiokafka itself cannot read, such as one with a
            header name that is not UTF-8, there is nothing to make a dead letter of.
        ExceptionGroup: The same, and what kept the record from becoming a dead letter.
    """
    if not isinstance(consumer, TracedConsumer):
        raise TypeError(f"consume() takes a TracedConsumer; wrap it: TracedConsumer({consumer!r})")
    require_async(handler, "the handler of consume()", arguments=1)
    if consumer.info.auto_commit:
        raise ValueError(
            "consume() commits what was handled; the consumer commits what was fetched: "
            "make it with enable_auto_commit=False"
        )
    if dead_letters is not None and consumer.info.group is None:
        raise ValueError(
            "dead letters belong to a consumer group, and this consumer has none: give it a "
            "group_id, or TracedConsumer a group"
        )
    if dead_letters is not None and consumer.info.codec:
        raise ValueError(
            "dead letters need the bytes of a record, and this consumer has a deserializer: "
            "decode in the handler, where a failure can be retried and becomes a dead letter"
        )
    for name, value in (
        ("concurrency", concurrency),
        ("max_buffered", max_buffered),
        ("commit_interval_s", commit_interval_s),
        ("drain_timeout_s", drain_timeout_s),
    ):
        if value is not None and value <= 0:
            raise ValueError(f"{name} must be positive, not {value!r}")
    handling = FailureHandling(consumer, retry, dead_letters)
    if transactional is not None:
        # Only who wants this loads it.
        from tracing.delivery.transactional import (  # noqa: PLC0415 - as said
            consume_transactional,
        )

        await consume_transactional(
            consumer,
            handler,
            handling,
            transactional,
            stop=stop or asyncio.Event(),
            concurrency=concurrency,
            max_buffered=max_buffered,
            commit_interval_s=commit_interval_s,
            drain_timeout_s=drain_timeout_s,
        )
        return
    if dead_letters is not None and dead_letters.transactional:
        raise ValueError(
            "DeadLetters(transactional=True) is for consume(transactional=...): give consume() "
            "the same producer, or the dead letters one that is not transactional"
        )
    loop = _Loop(
        consumer,
        handler,
        handling,
        stop=stop or asyncio.Event(),
        places=asyncio.Semaphore(concurrency or _UNLIMITED),
        max_buffered=max_buffered,
        commit_interval_s=commit_interval_s,
        drain_timeout_s=drain_timeout_s,
    )
    log = LoopLog(consumer)
    consumer.rebalances.add(loop)
    consumer.rebalances.add(log)
    try:
        with log.running():
            await loop.run()
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
        *,
        stop: asyncio.Event,
        places: asyncio.Semaphore,
        max_buffered: int,
        commit_interval_s: float,
        drain_timeout_s: float,
    ) -> None:
        self._consumer = consumer
        self._handler = handler
        self._handling = handling
        self._stop = stop
        self._places = places
        self._max_buffered = max_buffered
        self._commit_interval_s = commit_interval_s
        self._drain_timeout_s = drain_timeout_s
        self._workers: dict[TopicPartition, PartitionWorker] = {}
        self._failed: Exception | None = None
        self._revoked: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._committed_at = monotonic()

    async def run(self) -> None:
        try:
            while not self._stop.is_set() and self._failure() is None:
                try:
                    records = await self._consumer.getmany(timeout_ms=_POLL_MS)
                except Exception as error:
                    if type(error).__name__ == "ConsumerStoppedError":
                        return
                    raise
                self._dispatch(records)
                self._resume()
                if monotonic() - self._committed_at >= self._commit_interval_s:
                    await self._commit(self._owned())
        finally:
            try:
                await self._leave()
            finally:
                for worker in self._workers.values():
                    if worker.busy:
                        worker.cut_off()
        failure = self._failure()
        if failure is not None:
            raise failure

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Finish with partitions that are about to move."""
        self._revoked.update(partitions)
        held = [tp for tp in partitions if tp in self._workers]
        try:
            await self._finish(held)
            await self._commit_in_time(held)
        finally:
            for tp in held:
                worker = self._workers.pop(tp)
                self._failed = self._failed or worker.failure
            self._paused.difference_update(partitions)

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Begin with partitions that came."""
        self._revoked.difference_update(partitions)

    def _dispatch(
        self, records: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]
    ) -> None:
        for tp, batch in records.items():
            if tp in self._revoked or not batch:
                continue
            worker = self._workers.get(tp)
            if worker is None:
                self._handling.prepare(tp.topic)
                worker = self._workers[tp] = PartitionWorker(
                    self._consumer, tp, self._handler, self._handling, self._places, self._stop
                )
            worker.add(batch)
            if worker.waiting > self._max_buffered and tp not in self._paused:
                self._consumer.pause(tp)
                self._paused.add(tp)

    def _resume(self) -> None:
        for tp in tuple(self._paused.intersection(self._workers)):
            if self._workers[tp].waiting <= self._max_buffered // 2:
                self._paused.discard(tp)
                self._consumer.resume(tp)

    def _failure(self) -> Exception | None:
        failures = (worker.failure for worker in self._workers.values())
        return self._failed or next((failure for failure in failures if failure), None)

    def _owned(self) -> list[TopicPartition]:
        return [tp for tp in self._workers if tp not in self._revoked]

    async def _commit(self, partitions: Collection[TopicPartition]) -> None:
        self._committed_at = monotonic()
        # The workers themselves: a rebalance may take them away while the commit is under way.
        workers = {tp: self._workers[tp] for tp in partitions}
        offsets = {
            tp: offset
            for tp, worker in workers.items()
            if (offset := worker.uncommitted) is not None
        }
        if not offsets or self._consumer.info.group is None:
            return
        try:
            await self._consumer.commit(offsets)
        except Exception as error:
            if not (getattr(error, "retriable", False) or type(error).__name__ in _LOST_PARTITION):
                raise
            _logger.warning(
                "commit of %s failed (%s); records handled since the last commit may be delivered "
                "again",
                ", ".join(f"{tp.topic}[{tp.partition}]" for tp in offsets),
                type(error).__name__,
            )
            return
        for tp, offset in offsets.items():
            workers[tp].committed(offset)

    async def _commit_in_time(self, partitions: Collection[TopicPartition]) -> None:
        """Commit before leaving; aiokafka would try for ever where no broker answers."""
        try:
            async with asyncio.timeout(self._drain_timeout_s):
                await self._commit(partitions)
        except TimeoutError:
            _logger.warning(
                "the last commit did not succeed within %g s; records handled since the one before "
                "will be delivered again",
                self._drain_timeout_s,
            )

    async def _finish(self, partitions: Collection[TopicPartition]) -> None:
        workers = [self._workers[tp] for tp in partitions if tp in self._workers]
        finished = await asyncio.gather(
            *(worker.finish(self._drain_timeout_s) for worker in workers)
        )
        late = [worker.tp for worker, done in zip(workers, finished, strict=True) if not done]
        if late:
            _logger.warning(
                "records of %s were still under way after %g s and were cancelled; they will be "
                "delivered again",
                ", ".join(f"{tp.topic}[{tp.partition}]" for tp in late),
                self._drain_timeout_s,
            )

    async def _leave(self) -> None:
        """Finish what is under way, commit it, and rewind over what was fetched in vain."""
        await self._finish(self._owned())
        await self._commit_in_time(self._owned())
        for tp in self._owned():
            worker = self._workers[tp]
            # Even where all was handled: a fetch that failed on a record may have taken those
            # before it along.
            if worker.resume_at is not None:
                try:
                    self._consumer.seek(tp, worker.resume_at)
                except Exception as error:
                    # Closed, or no longer ours: then the committed offset is where it goes on.
                    _logger.debug("no need to rewind %s: %s", tp, error)
        for tp in self._paused:
            try:
                self._consumer.resume(tp)
            except Exception as error:
                _logger.debug("no need to resume %s: %s", tp, error)
