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


class _TakenBackError(BaseException):
    """The transaction was aborted for another reason than this record: do it again."""


class TransactionalRecord:
    """A record that is handled in one transaction after the other, until one commits.

    Attributes:
        record: The record.
        alone: Whether it needs a transaction of its own, because an attempt failed.
        due: When the next attempt is due, in the event loop's time.
    """

    def __init__(
        self,
        record: Any,
        consumer: ConsumerPort,
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
        """Do what is next in this transaction, in which the record then waits for its end.

        Returns:
            Whether that went well; otherwise the record needs another turn, alone and when due.

        Raises:
            Exception: What the record failed with for good.
        """
        loop = asyncio.get_running_loop()
        self._transaction = transaction
        self._report = loop.create_future()
        self._parked = loop.create_future()
        if self._task is None or self._task.done():
            self._cut_off = False
            self._task = asyncio.create_task(self._live(), name=f"consume {self._place()}")
        elif self._go is not None and not self._go.done():
            self._go.set_result(None)
        handled = await self._report
        if self._failure is not None:
            raise self._failure
        return handled

    @property
    def under_way(self) -> bool:
        """Whether a handler may be at work, or an attempt is to follow."""
        return self._task is not None and not self._task.done()

    def cancel(self) -> None:
        """Cancel what is under way: the record comes back."""
        self._cut_off = True
        if self._task is not None:
            self._task.cancel()

    async def gone(self, timeout_s: float) -> bool:
        """Wait until nothing is under way; false where it took too long."""
        if self._task is None:
            return True
        done, _ = await asyncio.wait((self._task,), timeout=timeout_s)
        return bool(done)

    async def parted(self) -> Exception | None:
        """Wait until the record has taken note of its transaction's end.

        Returns:
            What it failed with for good, if it did.
        """
        if self._task is not None and self._parked is not None:
            await asyncio.wait((self._task, self._parked), return_when=asyncio.FIRST_COMPLETED)
        return self._failure

    async def _send_dead_letter(self, send: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Send the dead letter in a transaction of its own; returns when that is committed."""
        self.alone = True
        self.due = 0.0
        self._reported(handled=False)
        await self._next_turn()
        await send()
        await self._decision()

    async def _live(self) -> None:
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
        except _TakenBackError:
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
        """Stop the clock and wait for the transaction's end; raises where it does not commit."""
        if self._processing is not None:
            if self._transaction is not None and self._transaction.alone:
                self._processing.stop_clock()
            else:
                # The span is about this record, not about the others of the transaction.
                self._processing.pause()
        await self._decision()

    async def _decision(self) -> None:
        """Report that all is done in this transaction, and wait for its end.

        Raises:
            Exception: The transaction could not be committed because of this record.
        """
        transaction = self._transaction
        if transaction is None:
            return
        if self._cut_off:
            # The handler went on to its end all the same. The transaction is about to be aborted,
            # and waits for this.
            raise asyncio.CancelledError
        self._reported(handled=True)
        outcome = await asyncio.shield(transaction.decided)
        if outcome is COMMITTED:
            return
        if isinstance(outcome, Exception):
            raise outcome
        if self._processing is not None:
            self._consumer.telemetry.spans.enrich(self._processing.span, {semconv.OUTCOME: RETRIED})
        raise _TakenBackError

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
