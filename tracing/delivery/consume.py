"""The whole loop: poll, handle in partition order, commit what succeeded, end cleanly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from tracing.core.callables import require_async, require_event
from tracing.delivery.failure_handling import FailureHandling
from tracing.delivery.loop import Loop
from tracing.delivery.loop_log import LoopLog
from tracing.delivery.places import Places
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

    Each record is handled inside its process span. Partitions are handled concurrently, the
    records of one partition one after another. Offsets are committed only after success: every
    `commit_interval_s`, and before partitions move to another consumer.

    A record that fails is retried after a delay, according to `retry`. The records after it in its
    partition wait, other partitions continue, and the consumer keeps polling, so that it stays in
    its group however long that takes. A record that failed permanently becomes a dead letter, which
    the broker has before the record's offset is committed; without `dead_letters`, or if they
    cannot be sent, the loop ends with the error and the record is not committed. Replayed dead
    letters of other groups are skipped.

    It returns when `stop` is set, or when the consumer is stopped or unsubscribed. On shutdown,
    when cancelled, and before partitions move, it finishes and commits the records in progress;
    the others are left for the partition's next consumer, which may be this one. That takes about
    `drain_timeout_s` at most, even without a broker (a few seconds more if a handler uses it up or
    ignores its cancellation). Offsets that could not be committed by then are logged, and their
    records are delivered again. When cancelled a second time, it returns at once. An anyio cancel
    scope cancels repeatedly and has the same effect: set `stop` there instead.

    The loop fetches ahead, so while it runs the consumer's own methods count what was *handled*;
    the record in progress is not handled yet. Handlers and other tasks may call them:

    - `commit()` commits what was handled; with offsets, these, until the loop commits its own.
    - `position(tp)` is the first offset that is not handled.
    - `seek*()`: the record in progress is finished, waiting records of its partition are
      forgotten, and the loop continues at the new offset.
    - `pause(tp)`: waiting records also wait until `resume(tp)`; the record in progress continues.
      `paused()` does not list partitions that the loop itself pauses for slow handlers.
    - `stop()` ends the loop in good order, and then closes the consumer. Called from a handler,
      whose record is itself in progress, or from a rebalance listener, it returns before that.
    - `unsubscribe()` ends the loop in good order. `subscribe()` and `assign()` take effect once
      the records in progress are finished and committed; if they raise, the loop ends.
    - `getone()`, `getmany()`, `async for` and a second `consume` are refused (`RuntimeError`).

    If a handler ignores its cancellation, the loop does not wait for it: its result does not count,
    no later record of its partition is handled, and a warning is logged.

    On transactional and compacted topics, offsets that hold no record are committed too, as soon
    as no record of their partition waits.

    Ordinary logs have a WARNING for each failed attempt (logger `tracing.attempts`, at most ten a
    minute of each kind), an ERROR for each dead letter (`tracing.dead_letters`), and INFO when the
    loop starts or ends or partitions move (`tracing.consume`), with the facts as `extra` fields.

    Args:
        consumer: A started consumer, made with `enable_auto_commit=False`.
        handler: An async function, called with each record, once per attempt. `tracing.Rejected`
            counts as handled; any other exception is a failed attempt. In an `ExceptionGroup`,
            such as a `TaskGroup` raises, the worst error decides: `Unprocessable`, then one that
            is not retryable, then any other, then `Rejected`.
        retry: When to try again; by default `Retry()` if there are dead letters, else never.
        dead_letters: Takes records that failed permanently. Their bytes are sent unchanged, so
            the consumer must have no deserializers: decode in the handler.
        stop: Set it to end the loop.
        concurrency: Most records in progress over all partitions; by default, only the number of
            partitions limits them.
        max_buffered: Most records of one partition that wait before its fetching pauses.
        commit_interval_s: Seconds between commits, at most.
        drain_timeout_s: Seconds that records in progress have to finish; then they are cancelled
            and will be delivered again.
        on_unreadable: What to do about a record that aiokafka itself cannot read, such as one
            with a header name that is not UTF-8, an unknown compression or a wrong checksum, or
            one that makes a deserializer of the consumer raise:
            `"raise"` ends the loop with `tracing.UnreadableRecord`, which says where it is and
            how to get past it; `"dead_letter"` makes a dead letter of its bytes; `"skip"` counts
            it in `pipeline.unreadable.skipped` and logs it. Records before it are handled first,
            and all others as usual.
        transactional: Handle records exactly once, on Kafka 2.5 or later: what handlers send with
            this transactional producer, dead letters (`DeadLetters(producer,
            transactional=True)`) and offsets are committed together, or not at all. What handlers
            do elsewhere, for example in a database, is still done at least once. See
            `tracing.delivery.transactional`.

    Raises:
        TypeError: `consumer` is not wrapped, `stop` is not an `asyncio.Event`, or `handler` is
            not `async` or does not take one argument. For a lambda, or a function that returns
            another function's result, only a call shows whether it is async: then it has run
            once, and its record is not committed. The same holds for a handler that returns a
            coroutine instead of awaiting it.
        RuntimeError: Another `consume` reads the consumer, or it is not started.
        ValueError: The consumer commits by itself, which loses records in progress; or a number
            is not positive; or there are dead letters, but the consumer has no group or does not
            return bytes.
        Exception: What `handler` raised; its record and all after it are not committed. Or what
            the consumer raised.
        UnreadableRecord: A record cannot be read, and `on_unreadable` is `"raise"`.
        ExceptionGroup: The error, and why the record could not become a dead letter.
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
        places=None if concurrency is None else Places(concurrency),
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
