"""Exactly once: sends, dead letters and offsets in one transaction (KIP-98, KIP-447).

The loop takes the fetched records, begins a transaction, runs handlers for at most
`commit_interval_s`, adds the offsets and commits. If an attempt fails, the transaction is aborted
with everything that was sent in it. The other records are handled again. The failed record gets
transactions of its own: one for each further attempt, after its delay, and one for its dead letter.

The application must meet these conditions:

- Consumers of the output topics read with `isolation_level="read_committed"`. Others also see the
  records of aborted transactions.
- Each process has its own `transactional_id` and keeps it across restarts. The new process then
  ends its predecessor's transaction at once, not after `transaction_timeout_ms`.
- A transaction that takes longer than the producer's `transaction_timeout_ms` (60 s by default) is
  aborted by the broker, and the loop ends with `ProducerFenced`. Set it above the sum of
  `commit_interval_s` and the longest handler's time.
- Handlers send with the producer and await the send (`send` or `send_and_wait`) before they
  return. Other code that sends with it meanwhile gets a `RuntimeError`. A send that fails after its
  handler returned counts as a failed attempt of the record.

Telemetry: if a transaction is aborted because of another record, a record's process span has the
outcome `retried` and counts in no duration. When the record is handled again, it gets a new process
span, with the outcome of the transaction that commits. Attempts after a failure are `retry` spans,
as in any other loop. A dead letter counts when its transaction is committed. Messages count as sent
when the broker acknowledges them, as in any transaction.

A suspended member whose partitions have moved cannot commit, because offsets are added with its
generation. The new owner starts only after all transactions on its offsets are decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracing.delivery.closing import begin_reading, end_reading
from tracing.delivery.loop_log import LoopLog
from tracing.delivery.transaction_runner import TransactionRunner
from tracing.delivery.transactional_lanes import TransactionalLanes
from tracing.delivery.transactional_loop import TransactionalLoop
from tracing.messaging.transport import sender_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from tracing.delivery.failure_handling import FailureHandling
    from tracing.messaging.reading import ConsumerPort
    from tracing.messaging.transactions import GroupOffsets
    from tracing.messaging.transport import Sender

# Time for cancelled handlers, and then for an abort, when the loop ends or partitions move.
_GRACE_S: Final = 5.0


async def consume_transactional(
    consumer: ConsumerPort[Any],
    handler: Callable[[Any], Awaitable[object]],
    handling: FailureHandling,
    producer: object,
    *,
    stop: asyncio.Event,
    concurrency: int | None,
    max_buffered: int,
    commit_interval_s: float,
    drain_timeout_s: float,
) -> None:
    """Run `consume(..., transactional=producer)`, with its options.

    Raises:
        ValueError: A client is not suitable.
        RuntimeError: A client is not started, or the installed aiokafka is not supported.
        Exception: As `consume`.
    """
    sender, offsets = _joined(consumer, producer, handling)
    with sender.owned() as inner:
        reading = consumer.transactional_reading()
        runner = TransactionRunner(
            consumer,
            inner,
            offsets,
            concurrency=concurrency,
            interval_s=commit_interval_s,
            grace_s=min(drain_timeout_s, _GRACE_S),
        )
        lanes = TransactionalLanes(consumer, reading, handler, handling, max_buffered)
        loop = TransactionalLoop(
            consumer,
            reading,
            lanes,
            offsets,
            runner,
            stop,
            max_buffered=max_buffered,
            drain_timeout_s=drain_timeout_s,
        )
        log = LoopLog(consumer)
        begin_reading(consumer.client)
        reading.attach(loop)
        consumer.observe(loop)
        consumer.observe(log)
        try:
            with log.running():
                await loop.run()
        finally:
            consumer.ignore(log)
            consumer.ignore(loop)
            reading.detach()
            end_reading(consumer.client)
            handling.log.close()
            loop.left()
        await loop.closed()


def _joined(
    consumer: ConsumerPort[Any], producer: object, handling: FailureHandling
) -> tuple[Sender, GroupOffsets]:
    """Check the clients; return the producer, and how offsets join its transactions.

    Raises:
        TypeError: The producer is not wrapped.
        ValueError: A client is not suitable.
        RuntimeError: A client is not started, or is not built as expected.
    """
    sender = sender_of(producer)
    if sender is None:
        raise TypeError(
            "consume(transactional=...) takes a TracedProducer; wrap it: "
            f"TracedProducer({producer!r})"
        )
    if sender.info.transactional_id is None:
        raise ValueError(
            "consume(transactional=...) takes a producer with a transactional_id, unique to this "
            "process"
        )
    dead_letters = handling.dead_letters
    if dead_letters is not None and not (
        dead_letters.transactional and dead_letters.producer is producer
    ):
        raise ValueError(
            "consume(transactional=producer) sends dead letters in its transactions: give it "
            "DeadLetters(producer, transactional=True), of the same producer"
        )
    if consumer.info.group is None:
        raise ValueError(
            "consume(transactional=...) commits offsets of a group, and this consumer has none: "
            "give it a group_id"
        )
    return sender, consumer.group_offsets(sender)
