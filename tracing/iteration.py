"""`async for`: the process span around the loop's body, which no hook of the loop ends."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from tracing.coexistence import beneath, present
from tracing.headers import latest
from tracing.provenance import REPLAY_GROUP

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiokafka.structs import ConsumerRecord

    from tracing.consumer import TracedConsumer
    from tracing.processing import Processing

_logger = logging.getLogger("tracing")


class TracedRecords:
    """One `async for` over a consumer.

    The body of the loop runs between two calls of `__anext__`, in the same task: so the span
    that one call makes current is current in the body, and the next call ends it. A loop that
    is left by `break` or by an exception makes no further call, but lets go of this object;
    the span's clock stops then. Whether it was an exception, only the consumer can learn, when it
    is stopped or its `async with` block is left in the course of it; otherwise the handling
    counts as successful.
    """

    def __init__(self, consumer: TracedConsumer) -> None:
        self._consumer = consumer
        self._inner = consumer.wrapped
        self._delivered = consumer.delivered
        self._current: Processing | None = None

    def __aiter__(self) -> TracedRecords:
        return self

    async def __anext__(self) -> ConsumerRecord[Any, Any]:
        task = asyncio.current_task()
        current, self._current = self._current, None
        if current is not None:
            current.end(None, task)
        while True:
            if present():
                # aiokafka's iterator would call a getone that other instrumentation replaced.
                record = await next_as_aiokafka(beneath(self._inner.getone))
            else:
                record = await self._inner.__anext__()
            self._delivered(record.topic)
            headers = latest(record.headers)
            if REPLAY_GROUP not in headers or not self._consumer.addressed_elsewhere(record):
                break
        self._current = current = self._consumer.process(record, headers)
        current.start(task)
        return record

    def __del__(self) -> None:
        current = self._current
        if current is None:
            return
        current.pause()
        self._consumer.leave_unfinished(current)
        try:
            # Whoever stops the consumer because of an exception does so before the loop's turn
            # ends; after it, no exception was seen.
            asyncio.get_running_loop().call_soon(self._consumer.finish_unfinished)
        except RuntimeError:
            self._consumer.finish_unfinished()


async def next_as_aiokafka(
    getone: Callable[[], Awaitable[ConsumerRecord[Any, Any]]],
) -> ConsumerRecord[Any, Any]:
    """Get the next record by `getone`, with the errors that `AIOKafkaConsumer.__anext__` has."""
    while True:
        try:
            return await getone()
        except Exception as error:
            # By name: aiokafka itself is no dependency.
            match type(error).__name__:
                case "ConsumerStoppedError":
                    raise StopAsyncIteration from None
                case "RecordTooLargeError":
                    _logger.exception("a record is too large for the consumer and is skipped")
                case _:
                    raise
