"""All attempts at one record, inside its process span; each retry has its own span."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from inspect import isawaitable
from time import perf_counter, time
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from tracing.core.callables import name_of, not_awaitable
from tracing.messaging.outcome import Rejected, leaves

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tracing.delivery.failure_handling import FailureHandling
    from tracing.messaging.process import Processing
    from tracing.messaging.process_span import RetriedAttempt


class Attempts:
    """The attempts at one record, all made in one task.

    Args:
        processing: The record's handling, not started.
        handler: Called once per attempt.
        handling: What to do about failures.
        settle: Awaited when the handler has returned or rejected the record; if it raises, the
            attempt has failed.
        cut_off: Returns whether the record was cut off: then a failure has no consequences.
    """

    def __init__(
        self,
        processing: Processing,
        handler: Callable[[Any], Awaitable[object]],
        handling: FailureHandling,
        *,
        settle: Callable[[], Awaitable[None]] | None = None,
        cut_off: Callable[[], bool] | None = None,
    ) -> None:
        self._processing = processing
        self._handler = handler
        self._handling = handling
        self._settle = settle
        self._cut_off = cut_off
        self._number = 0
        self._delay_s = 0.0
        self._failure: Exception | None = None
        self._first_failed_at_ms = 0
        self._first_s = 0.0
        self._first_ended = 0.0
        self._last_started = 0.0

    async def make(self) -> float | None:
        """Make the next attempt.

        Returns:
            Seconds to wait before the next attempt; `None` if the record needs no more, because
            it was handled, rejected or made a dead letter.

        Raises:
            Exception: The error of the last attempt.
            TypeError: The handler returned no awaitable, or a coroutine that it did not await.
            ExceptionGroup: That error, and why the record could not become a dead letter.
        """
        self._number += 1
        retried = self._begin()
        try:
            unusable = await answered(self._handler, self._handler(self._processing.record))
            if unusable is None and self._settle is not None:
                await self._settle()
        except BaseException as raised:
            return await self._raised(retried, raised)
        self._end(retried, unusable)
        if unusable is not None:
            # The handler's fault, not the record's: it is neither retried nor a dead letter.
            raise unusable
        return None

    async def first_raised(self, raised: BaseException) -> float | None:
        """Judge the first attempt, which was made elsewhere; returns and raises as `make`.

        Args:
            raised: What the handler raised; the handling has started and not ended.
        """
        self._number = 1
        return await self._raised(None, raised)

    async def first_unusable(self, error: TypeError) -> None:
        """End with the first attempt, which was made elsewhere and returned nothing usable.

        Args:
            error: What is wrong with what the handler returned.

        Raises:
            TypeError: That error.
        """
        self._number = 1
        self._end(None, error)
        raise error

    def give_up(self) -> None:
        """End without a further attempt: the record is delivered to the group again."""
        self._processing.end(asyncio.CancelledError())

    def _begin(self) -> RetriedAttempt | None:
        if self._failure is None:
            self._processing.start()
            return None
        self._last_started = perf_counter()
        self._handling.retried(self._processing.record, self._failure)
        return self._processing.retry(self._number, self._delay_s, self._failure)

    async def _raised(self, retried: RetriedAttempt | None, raised: BaseException) -> float | None:
        decisive = self._handling.decisive(raised)
        if isinstance(decisive, Rejected):
            if self._settle is not None:
                try:
                    await self._settle()
                except BaseException as unsettled:
                    return await self._raised(retried, unsettled)
            self._end(retried, decisive)
            return None
        if _holds_cancellation(raised):
            task = asyncio.current_task()
            if task is None or task.cancelling():
                self._end(retried, asyncio.CancelledError())
                if isinstance(raised, asyncio.CancelledError):
                    raise raised
                raise asyncio.CancelledError from raised
            if isinstance(decisive, asyncio.CancelledError):
                # Something that the handler waited for was cancelled, not the handler.
                error = RuntimeError(
                    "the handler ended with CancelledError without being cancelled"
                )
                error.__cause__ = raised
                return await self._failed(retried, error, error)
        if not isinstance(decisive, Exception):
            self._end(retried, decisive)
            raise raised
        return await self._failed(
            retried, raised if isinstance(raised, Exception) else decisive, decisive
        )

    async def _failed(
        self, retried: RetriedAttempt | None, error: Exception, decisive: Exception
    ) -> float | None:
        """Record a failure; `decisive` names it, `error` is what was raised."""
        handling, record = self._handling, self._processing.record
        if self._cut_off is not None and self._cut_off():
            self._end(retried, decisive)
            raise error
        attempt_s = self._processing.stop_clock()
        if self._failure is None:
            self._first_failed_at_ms = int(time() * 1000)
            self._first_ended = perf_counter()
            self._first_s = attempt_s
        self._failure = decisive
        if handling.retries(decisive, self._number):
            self._delay_s = handling.retry.delay_after(self._number)
            self._log(decisive, f"it is tried again in {self._delay_s:.3g} s")
            if retried is not None:
                retried.end(decisive)
            self._processing.attempt_failed(decisive)
            return self._delay_s
        if handling.dead_letters is None:
            self._log(decisive, "the record is not committed, and the loop ends")
            self._end(retried, decisive)
            raise error
        self._log(decisive, "it becomes a dead letter")
        if retried is not None:
            retried.end(decisive)
        try:
            await handling.dead_letters.publish(
                record,
                decisive,
                group=handling.group or "",
                transport=handling.transport,
                attempts=self._number,
                first_failed_at_ms=self._first_failed_at_ms,
            )
        except Exception as refused:
            handling.log.refused(record, refused)
            self._end(None, decisive)
            raise ExceptionGroup(
                "a record failed, and so did making it a dead letter; it is not committed",
                [error, refused],
            ) from None
        except BaseException as stopped:
            self._end(None, stopped)
            raise
        self._processing.dead_lettered()
        self._end(None, decisive)
        return None

    def _log(self, error: Exception, then: str) -> None:
        self._handling.log.failed(
            self._processing.record,
            error,
            attempt=self._number,
            attempts=self._handling.retry.attempts,
            then=then,
        )

    def _end(self, retried: RetriedAttempt | None, error: BaseException | None) -> None:
        if retried is not None:
            retried.end(error)
        if self._failure is not None and self._number > 1:
            retry_s = self._last_started - self._first_ended
            self._handling.ended(
                self._processing.record.topic,
                self._number,
                first_s=self._first_s,
                retry_s=retry_s if self._processing.counts_in_flow else None,
                error=error,
            )
        self._processing.end(error)


async def answered(handler: object, answer: Any) -> TypeError | None:
    """Await what a handler returned; raise what it raises.

    Returns:
        What is wrong with it: it is not awaitable, or its result is a coroutine, which has not run.
    """
    if type(answer) is not CoroutineType and not isawaitable(answer):
        return _unusable(handler, answer)
    result = await answer
    return _forgotten(handler, result) if type(result) is CoroutineType else None


def failure_of(error: BaseException, place: str) -> Exception:
    """Return the error that ends a loop after a failed attempt at the message at a place."""
    if isinstance(error, Exception):
        # An error may refuse notes; the loop ends with it anyway.
        with suppress(Exception):
            error.add_note(f"while handling {place}")
        return error
    failure = RuntimeError(f"handling {place} ended with {type(error).__name__}")
    failure.__cause__ = error
    return failure


def _holds_cancellation(error: BaseException) -> bool:
    if isinstance(error, Exception):
        return False
    return any(isinstance(leaf, asyncio.CancelledError) for leaf in leaves(error))


def _unusable(handler: object, answer: object) -> TypeError:
    begun = (
        "it has not run"
        if isinstance(answer, GeneratorType | AsyncGeneratorType)
        else "it has run for this record, perhaps to its end"
    )
    return TypeError(
        f"the handler {not_awaitable(handler, answer)}; {begun}, and the record is not committed, "
        "so it will be delivered again"
    )


def _forgotten(handler: object, coroutine: CoroutineType[Any, Any, Any]) -> TypeError:
    name = coroutine.__qualname__
    coroutine.close()
    return TypeError(
        f"the handler {name_of(handler)} returned the coroutine of {name} without awaiting it: "
        f"write `await {name}(...)`; that has not run, and the record is not committed, so it will "
        "be delivered again"
    )
