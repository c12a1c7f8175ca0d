"""Exactly once: sends, dead letters and offsets in one transaction (KIP-98, KIP-447).

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

# For cancelled handlers, and then for an abort, on the way out and before partitions move.
_GRACE_S: Final = 5.0


async def consume_transactional(
    consumer: ConsumerPort,
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
    """Run `consume(..., transactional=producer)`, whose options these are.

    Raises:
        ValueError: A client does not fit.
        RuntimeError: A client is not started, or the installed aiokafka is built otherwise.
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
    consumer: ConsumerPort, producer: object, handling: FailureHandling
) -> tuple[Sender, GroupOffsets]:
    """Check that clients fit; return the producer, and how offsets join its transactions.

    Raises:
        TypeError: The producer is not wrapped.
        ValueError: A client does not fit.
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
