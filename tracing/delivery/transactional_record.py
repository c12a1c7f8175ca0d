"""One record in transactions: its attempts, in a task of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tracing.core import semconv
from tracing.delivery.attempts import Attempts, failure_of
from tracing.delivery.dead_letters import own_transaction
from tracing.delivery.unreadable import Passing
from tracing.messaging.outcome import RETRIED
from tracing.messaging.transactions import COMMITTED
from tracing.messaging.unreadable import BrokenRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from tracing.delivery.failure_handling import FailureHandling
    from tracing.messaging.process import Processing
    from tracing.messaging.reading import ConsumerPort
    from tracing.messaging.transactions import Transaction


class _RolledBackError(BaseException):
    """The transaction was aborted for a reason other than this record; handle it again."""


class TransactionalRecord:
    """A record that is handled in one transaction after another, until one commits.

    Attributes:
        record: The record.
        alone: Whether it needs a transaction of its own, because an attempt failed.
        due: When the next attempt is due, in the event loop's time.
    """

    def __init__(
        self,
        record: Any,
        consumer: ConsumerPort[Any],
        handler: Callable[[Any], Awaitable[object]],
        handling: FailureHandling,
    ) -> None:
        self.record = record
        self.alone = False
        self.due = 0.0
        self._consumer = consumer
        self._handler = handler
        self._handling = handling
        self._processing: Processing | None = None
        self._transaction: Transaction | None = None
        self._task: asyncio.Task[None] | None = None
        self._report: asyncio.Future[bool] | None = None
        self._go: asyncio.Future[None] | None = None
        self._parked: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._cut_off = False

    async def take_turn(self, transaction: Transaction) -> bool:
        """Take the next step of the record in this transaction, then wait for its end.

        Returns:
            Whether the step succeeded. If not, the record needs another turn, alone and when due.

        Raises:
            Exception: The final failure of the record.
        """
        loop = asyncio.get_running_loop()
        self._transaction = transaction
        self._report = loop.create_future()
        self._parked = loop.create_future()
        if self._task is None or self._task.done():
            self._cut_off = False
            self._task = asyncio.create_task(self._run(), name=f"consume {self._place()}")
        elif self._go is not None and not self._go.done():
            self._go.set_result(None)
        handled = await self._report
        if self._failure is not None:
            raise self._failure
        return handled

    @property
    def in_progress(self) -> bool:
        """Whether a handler may be running, or another attempt will follow."""
        return self._task is not None and not self._task.done()

    def cancel(self) -> None:
        """Cancel the handler or the next attempt; the record is delivered again."""
        self._cut_off = True
        if self._task is not None:
            self._task.cancel()

    async def wait_ended(self, timeout_s: float) -> bool:
        """Wait until the record's task has ended; return false after `timeout_s`."""
        if self._task is None:
            return True
        done, _ = await asyncio.wait((self._task,), timeout=timeout_s)
        return bool(done)

    async def transaction_ended(self) -> Exception | None:
        """Wait until the record has reacted to the end of its transaction.

        Returns:
            The final failure of the record, if there is one.
        """
        if self._task is not None and self._parked is not None:
            await asyncio.wait((self._task, self._parked), return_when=asyncio.FIRST_COMPLETED)
        return self._failure

    async def _send_dead_letter(self, send: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Send the dead letter in its own transaction; return once that is committed."""
        self.alone = True
        self.due = 0.0
        self._reported(handled=False)
        await self._next_turn()
        await send()
        await self._decision()

    async def _run(self) -> None:
        own_transaction.set(self._send_dead_letter)
        if self._transaction is not None:
            self._transaction.enter()
        attempts = self._attempts(self.record)
        try:
            delay_s = await attempts.make()
            while delay_s is not None:
                self.alone = True
                self.due = asyncio.get_running_loop().time() + delay_s
                self._reported(handled=False)
                try:
                    await self._next_turn()
                except BaseException:
                    attempts.give_up()
                    raise
                delay_s = await attempts.make()
        except _RolledBackError:
            self._task = None
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not self._cut_off:
                self._failure = failure_of(error, self._place())
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        finally:
            self._reported(handled=False)

    def _attempts(self, record: Any) -> Attempts | Passing:
        if isinstance(record, BrokenRecord):
            return Passing(record, self._handling.unreadable, settle=self._settle)
        self._processing = self._consumer.process(record)
        return Attempts(
            self._processing,
            self._handler,
            self._handling,
            settle=self._settle,
            cut_off=lambda: self._cut_off,
        )

    async def _settle(self) -> None:
        """Stop the clock and wait for the transaction's end; raise if it does not commit."""
        if self._processing is not None:
            if self._transaction is not None and self._transaction.alone:
                self._processing.stop_clock()
            else:
                # The span is about this record, not about the others of the transaction.
                self._processing.pause()
        await self._decision()

    async def _decision(self) -> None:
        """Report that the record is done in this transaction, and wait for its end.

        Raises:
            Exception: The transaction could not be committed because of this record.
        """
        transaction = self._transaction
        if transaction is None:
            return
        if self._cut_off:
            # The handler ended in spite of its cancellation. The transaction is about to be
            # aborted, and waits for this task.
            raise asyncio.CancelledError
        self._reported(handled=True)
        outcome = await asyncio.shield(transaction.decided)
        if outcome is COMMITTED:
            return
        if isinstance(outcome, Exception):
            raise outcome
        if self._processing is not None:
            self._consumer.telemetry.spans.enrich(self._processing.span, {semconv.OUTCOME: RETRIED})
        raise _RolledBackError

    async def _next_turn(self) -> None:
        self._go = asyncio.get_running_loop().create_future()
        if self._parked is not None and not self._parked.done():
            self._parked.set_result(None)
        await self._go
        if self._transaction is not None:
            self._transaction.enter()

    def _place(self) -> str:
        return self._consumer.info.transport.place(self.record)

    def _reported(self, *, handled: bool) -> None:
        if self._report is not None and not self._report.done():
            self._report.set_result(handled)
