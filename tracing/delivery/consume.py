"""The whole loop: poll, handle in partition order, commit what succeeded, end cleanly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from tracing.core.callables import require_async, require_event
from tracing.delivery.failure_handling import FailureHandling
from tracing.delivery.loop import Loop
from tracing.delivery.loop_log import LoopLog
from tracing.messaging.reading import consumer_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tracing.delivery.dead_letters import DeadLetters
    from tracing.delivery.retry import Retry
    from tracing.delivery.unreadable import OnUnreadable
    from tracing.messaging.reading import Consumer, ConsumerPort
    from tracing.messaging.transport import Producer

MessageT = TypeVar("MessageT")


async def consume(
    consumer: Consumer[MessageT],
    handler: Callable[[MessageT], Awaitable[object]],
    *,
    retry: Retry | None = None,
    dead_letters: DeadLetters | None = None,
    stop: asyncio.Event | None = None,
    concurrency: int | None = None,
    max_buffered: int = 500,
    commit_interval_s: float = 0.5,
    drain_timeout_s: float = 30.0,
    on_unreadable: OnUnreadable = "raise",
    transactional: Producer | None = None,
) -> None:
    """Handle a consumer's records until `stop` is set: at least once, in order per partition.

    Each record is handled inside its process span. Partitions are handled side by side; one
    partition's records one after the other. Offsets are committed after success only, every
    `commit_interval_s` and before partitions move to another consumer.

    A record that fails is tried again after a while, as `retry` says; the records behind it in its
    partition wait, other partitions go on, and the consumer keeps polling, so that it stays in its
    group however long that takes. When it has failed for good it becomes a dead letter, which the
    broker has before the record's offset is committed; without `dead_letters`, or where they
    cannot be sent, the loop ends with the error and the record is not committed. Replayed dead
    letters of other groups are skipped.

    It returns when `stop` is set, or the consumer is stopped or unsubscribed. On the way out, also
    when cancelled and before partitions move, records under way are finished and committed; the
    others are left for the next to consume, this consumer included. That takes about
    `drain_timeout_s` at most (a few seconds more where a handler uses it up, or ignores its
    cancellation), also without a broker; offsets that could not be committed by then are logged,
    and their records are delivered again. Cancelled once more, it returns at once; so it does in
    a cancel scope of anyio, which cancels again and again: set `stop` there instead.

    While it runs it fetches ahead, so the consumer's own methods count what was *handled*; the
    record under way is not handled yet. They may be called from a handler or from other tasks:

    - `commit()` commits what was handled; with offsets, these, until the loop commits its own.
    - `position(tp)` is the first offset that is not handled.
    - `seek*()`: the record under way is finished, what waits in its partition is forgotten, and
      the loop goes on at the new place.
    - `pause(tp)`: records that wait do so until `resume(tp)`, too; the record under way goes on.
      `paused()` does not list partitions that the loop itself pauses for slow handlers.
    - `stop()` ends the loop in good order, and then the consumer. Called from a handler, which is
      under way itself, or from a rebalance listener, it returns before that.
    - `unsubscribe()` ends the loop in good order; `subscribe()` and `assign()` take effect once
      what is under way is finished and committed, and an error of theirs ends the loop.
    - `getone()`, `getmany()`, `async for` and a second `consume` are refused (`RuntimeError`).

    A handler that ignores its cancellation goes on alone: its result does not count, nothing more
    is handled behind it, and a warning is logged.

    On topics that are written by transactions, and on compacted ones, what is no record is
    committed too, as soon as no record of its partition waits.

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
        on_unreadable: What to do about a record that aiokafka itself cannot read, such as one
            with a header name that is not UTF-8, an unknown compression or a wrong checksum, or
            one at which a deserializer of the consumer raises:
            `"raise"` ends the loop with `tracing.UnreadableRecord`, which says where it is and
            how to get past it; `"dead_letter"` makes a dead letter of its bytes; `"skip"` counts
            it in `pipeline.unreadable.skipped` and logs it. Records before it are handled first,
            and all others around it as usual.
        transactional: Handle records exactly once, on Kafka 2.5 or later: what handlers send with
            this transactional producer, dead letters (`DeadLetters(producer,
            transactional=True)`) and offsets are committed together, or not at all. What handlers
            do elsewhere, in a database for example, is still done at least once. See
            `tracing.delivery.transactional`.

    Raises:
        TypeError: `consumer` is not wrapped, `stop` is no `asyncio.Event`, or `handler` is not
            `async` or does not take one argument. Of a lambda, or of a function that returns what
            another one gives it, only a call can show whether it is: then it has run once, and
            its record is not committed. The same holds for a handler that returns a coroutine
            instead of awaiting it.
        RuntimeError: Another `consume` reads the consumer, or it is not started.
        ValueError: The consumer commits by itself, which loses records that are under way; or
            a number is not positive; or there are dead letters, but no group or no bytes.
        Exception: What `handler` raised; its record and all after it are not committed. Or what
            the consumer raised.
        UnreadableRecord: As `on_unreadable` says.
        ExceptionGroup: The same, and what kept the record from becoming a dead letter.
    """
    port = _checked(consumer, dead_letters)
    require_async(handler, "the handler of consume()", arguments=1)
    if stop is not None:
        require_event(stop, "stop")
    for name, value in (
        ("concurrency", concurrency),
        ("max_buffered", max_buffered),
        ("commit_interval_s", commit_interval_s),
        ("drain_timeout_s", drain_timeout_s),
    ):
        if value is not None and value <= 0:
            raise ValueError(f"{name} must be positive, not {value!r}")
    handling = FailureHandling(port, retry, dead_letters, on_unreadable)
    if transactional is not None:
        from tracing.delivery.transactional import (  # noqa: PLC0415 - rarely needed, and large
            consume_transactional,
        )

        await consume_transactional(
            port,
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
    loop = Loop(
        port,
        handler,
        handling,
        stop=stop or asyncio.Event(),
        places=None if concurrency is None else asyncio.Semaphore(concurrency),
        max_buffered=max_buffered,
        commit_interval_s=commit_interval_s,
        drain_timeout_s=drain_timeout_s,
    )
    log = LoopLog(port)
    port.observe(log)
    try:
        with log.running():
            await loop.run()
    finally:
        port.ignore(log)
        handling.log.close()


def _checked(consumer: object, dead_letters: DeadLetters | None) -> ConsumerPort[Any]:
    port = consumer_port(consumer)
    if port is None:
        raise TypeError(f"consume() takes a TracedConsumer; wrap it: TracedConsumer({consumer!r})")
    if port.info.auto_commit:
        raise ValueError(
            "consume() commits what was handled; the consumer commits what was fetched: "
            "make it with enable_auto_commit=False"
        )
    if dead_letters is not None and port.info.group is None:
        raise ValueError(
            "dead letters belong to a consumer group, and this consumer has none: give it a "
            "group_id, or TracedConsumer a group"
        )
    if dead_letters is not None and port.info.codec:
        raise ValueError(
            "dead letters need the bytes of a record, and this consumer has a deserializer: "
            "decode in the handler, where a failure can be retried and becomes a dead letter"
        )
    port.check_started()
    return port
