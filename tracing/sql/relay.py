"""The relay sends the records of an outbox, in order per key, until the broker has them."""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.callables import require_event
from tracing.core.log import EventLog
from tracing.delivery.retry import Retry
from tracing.sql.backlog import Backlog, backlog_of
from tracing.sql.drain_waiters import DrainWaiters, Wakeup
from tracing.sql.ordered_sends import OrderedSends
from tracing.sql.outbox_rows import OutboxRows
from tracing.sql.relay_exchange import Exchange, Reading
from tracing.sql.relay_handover import HandOver
from tracing.sql.relay_lock import OtherRelayError
from tracing.sql.relay_options import check_batch, check_engine, check_positive, check_sender
from tracing.sql.relay_sending import RecordSending
from tracing.sql.relay_session import RelaySession
from tracing.sql.send_failures import DatabaseOutage, SendFailures

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing.sql.outbox import SqlOutbox
    from tracing.sql.outbox_rows import AddedRecords, OrderKey
    from tracing.sql.relay_exchange import Answer
    from tracing.sql.relay_options import RecordSender
    from tracing.sql.transactions import Transactions

_logger = EventLog("tracing")

_STANDBY_S: Final = 1.0
_SHARE: Final = 4


class OutboxRelay:
    """Sends the records of an outbox and deletes each once the broker has acknowledged it.

    Records of one topic and key are sent one by one, in the order in which they were added;
    different keys, and records without a key, in parallel. A record that cannot be sent is retried
    for ever, with growing delays, and the records of its key wait for it; other keys continue.
    Delivery is at least once: if the process ends between the acknowledgement and the deletion,
    the record is sent again as the same event. Consumers with an inbox skip it.

    The span of each send continues the context that is stored with the record. When the telemetry
    sets a boundary without trace context for a topic, no context is stored, and each send to it
    begins a trace.

    Only one relay of an outbox works at a time, because several would mix up the order of a key.
    On PostgreSQL the others stand by, and the next one takes over when the session of the first
    ends, even by a kill. When a host disappears, the server notices by its `tcp_keepalives_*`
    settings. The relay keeps one of the engine's connections, and its lock belongs to the session:
    do not put a pooler in transaction mode in between. On SQLite a second relay is refused, in
    this process and in any other one; the lock is the empty file `DATABASE-TABLE-relay`, which
    is never removed.

    Args:
        outbox: The outbox.
        engine: The outbox's database, SQLite or PostgreSQL. On SQLite, with `Transactions` on a
            plain engine, each exchange with the database is one hop to a thread. A service that
            shares them with its relay never waits for the relay's lock on the file.
        producer: Sends the records. It needs acknowledgements, no serializers and no transactional
            id: inside a transaction an acknowledgement is provisional (KIP-98), and an abort would
            remove records whose rows are already deleted.
        batch: The maximum number of records being sent, up to 10,000.
        poll_interval_s: The maximum time that a record waits without a `wake`, in seconds.
        retry_delay_s: The maximum delay after a first failure, in seconds; it doubles each time.
        max_retry_delay_s: The upper limit of that delay, in seconds.
        drain_timeout_s: How long sends may take when the relay stops, in seconds.
        deletion_delay_s: How long a record that was sent may stay in the outbox, in seconds: one
            commit deletes several, and a process that is killed sends more of them again.

    Raises:
        TypeError: `producer` cannot send, or its `send_and_wait` is not async.
        ValueError: The producer serializes, waits for no acknowledgement or is transactional,
            the database is not supported, or a number is out of range.

    Task safety: one event loop; `run` in one task at a time.
    """

    def __init__(
        self,
        outbox: SqlOutbox,
        engine: AsyncEngine | Transactions,
        producer: RecordSender,
        *,
        batch: int = 200,
        poll_interval_s: float = 0.1,
        retry_delay_s: float = 0.1,
        max_retry_delay_s: float = 10.0,
        drain_timeout_s: float = 10.0,
        deletion_delay_s: float = 0.0,
    ) -> None:
        check_sender(producer)
        check_engine(engine)
        check_batch(batch)
        check_positive(
            poll_interval_s=poll_interval_s,
            retry_delay_s=retry_delay_s,
            max_retry_delay_s=max_retry_delay_s,
            drain_timeout_s=drain_timeout_s,
        )
        if deletion_delay_s < 0:
            raise ValueError(f"deletion_delay_s must not be negative, not {deletion_delay_s!r}")
        telemetry = outbox.telemetry
        self._batch = batch
        self._poll_interval_s = poll_interval_s
        self._deletion_delay_s = deletion_delay_s
        self._drain_timeout_s = drain_timeout_s
        delays = Retry(delay_s=retry_delay_s, max_delay_s=max_retry_delay_s)
        self._rows = OutboxRows(outbox.table)
        self._session = RelaySession(engine, outbox.table)
        self._backlog = Backlog(telemetry, outbox.service)
        self._failures = SendFailures(delays, telemetry.message_of)
        self._wakeup = Wakeup()
        self._many = max(1, batch // 2)
        self._sending = RecordSending(producer, self._wakeup.set)
        self._sends = OrderedSends(
            self._sending.send, self._failures, self._wakeup.set, many=self._many
        )
        self._handover = HandOver(self._session.outbox, batch)
        self._outage = DatabaseOutage(delays, telemetry.message_of)
        self._drains = DrainWaiters()
        self._started = False
        self._standby = False
        self._unread = True
        self._read_at = -inf
        self._delete_at = inf

    def wake(self, added: AddedRecords | None = None) -> None:
        """Send what was committed now. Call it after a commit, in the relay's event loop.

        Args:
            added: What `SqlOutbox.hand_over_in` returned in the transaction that is committed:
                the relay sends these records without reading them, if nothing is before them.
                Without them, or in doubt, it reads the outbox.
        """
        if added is None or not self._handover.offer(added):
            self._unread = True
        # A relay on standby would request the lock at every commit of its service.
        if not self._standby:
            self._wakeup.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set, then finish the present sends; the rest stays in the outbox.

        A database that does not answer is retried for ever, with growing delays.

        Args:
            stop: Set it to end the relaying; call `drain` first to empty the outbox.

        Raises:
            RuntimeError: The relay runs already or has run, or another relay works on the same
                SQLite outbox.
            TypeError: `stop` is not an `asyncio.Event`, or the sender returned nothing to await;
                in that case its record stays in the outbox.
        """
        require_event(stop, "stop")
        if self._started:
            raise RuntimeError("an OutboxRelay runs once")
        self._started = True
        self._backlog.begin()
        stopping = asyncio.create_task(stop.wait(), name="outbox waits for its end")
        stopping.add_done_callback(lambda _done: self._wakeup.set())
        try:
            while not (stop.is_set() or self._sending.fault):
                self._wakeup.clear()
                delay_s = await self._turn()
                if delay_s:
                    await self._wakeup.pause(delay_s)
            await self._sends.finish(self._drain_timeout_s)
            await self._clear()
        finally:
            stopping.cancel()
            self._drains.end()
            self._backlog.end()
            try:
                await self._sends.cut_off()
            finally:
                await self._close()
        if self._sending.fault is not None:
            raise self._sending.fault

    async def drain(self, timeout_s: float = 10.0) -> bool:
        """Wait until this relay has sent everything that is committed now.

        Args:
            timeout_s: The longest wait, in seconds.

        Returns:
            Whether the outbox is empty. `False` at once if another relay is at work or this one
            has ended.
        """
        self._wakeup.set()
        return await self._drains.wait(timeout_s)

    async def _turn(self) -> float:
        """Delete sent records and begin to send others; return how long to pause then, in s."""
        try:
            delay_s = await self._exchange()
        except OtherRelayError:
            raise
        except Exception as error:
            if self._session.exclusive:
                # The lock ended with the connection: another relay may be sending already.
                await self._sends.cut_off()
            return self._outage.failed(error)
        self._outage.over()
        return delay_s

    async def _exchange(self) -> float:
        draining = self._drains.waiting()
        sends, failures = self._sends, self._failures
        self._take_handed_over()
        acknowledged, waiting = self._to_delete(draining=bool(draining)), failures.waiting()
        reading = self._reading(sends.held - acknowledged, waiting)
        # Computed together with `waiting`, so that a key that becomes due later is in neither.
        tried = failures.keys_of(reading.failing) - waiting - sends.busy()
        measures = self._backlog.due
        # A read of everything shows the backlog as well, for one statement instead of two.
        worth = bool(draining) or self._is_worth_reading() or (measures and reading.is_of_all)
        reads = reading.limit > 0 and worth
        exchange = Exchange(self._rows, acknowledged, reading if reads else None, measures=measures)
        if exchange.is_empty:
            return self._pause_s(waiting, full=reading.limit <= 0)
        answer = await self._answer(exchange)
        if answer is None:
            self._backlog.unknown()
            self._drains.settle(draining, empty=False)
            return _STANDBY_S
        if measures:
            unsent = (*sends.unsent(), *answer.records)
            self._backlog.measured(*(answer.backlog or backlog_of(unsent)))
        sends.forget(acknowledged)
        if acknowledged:
            self._delete_at = inf
        if not reads:
            return self._pause_s(waiting, full=reading.limit <= 0)
        self._read_at = monotonic()
        full = len(answer.records) == answer.capacity
        self._handover.was_read(answer.highest, complete=answer.complete)
        if len(answer.retried) < reading.share:
            # An operator has removed a record that could not be sent.
            for key in tried - {record.order_key for record in answer.retried}:
                failures.over(key)
        records = answer.records
        if answer.capacity > 0 and not (records or reading.in_progress or failures):
            self._drains.settle(draining, empty=True)
        sends.take(answer.retried)
        taken = sends.take(records)
        if full or reading.left_out:
            self._unread = True
        # A key refused some, so there is room for records of others.
        return 0.0 if full and 0 < taken < len(records) else self._pause_s(waiting)

    def _take_handed_over(self) -> None:
        """Send the records that come next; those before them are read first."""
        records, read = self._handover.take(
            self._batch - len(self._sends.held), behind=self._unread or self._left_some()
        )
        self._sends.take(records)
        self._unread = self._unread or read

    def _left_some(self) -> bool:
        """Return whether the outbox has records that were seen and have to be read again."""
        return self._sends.left_records or len(self._failures) > 0

    def _to_delete(self, *, draining: bool) -> frozenset[int]:
        """Return the records to delete now: all that the broker has, or none yet."""
        acknowledged, now = self._sends.acknowledged, monotonic()
        if acknowledged and self._delete_at == inf:
            self._delete_at = now + self._deletion_delay_s
        # What was sent is no part of the backlog.
        soon = draining or self._backlog.due or len(acknowledged) >= self._many
        return acknowledged if soon or now >= self._delete_at else frozenset()

    def _reading(self, in_progress: frozenset[int], waiting: set[OrderKey]) -> Reading:
        """Return what can be read now."""
        limit = self._batch - len(in_progress)
        # Topics with failures get a share of the batch: sends that hang would fill all of it.
        failing, blocked = self._failures.topics()
        share = max(1, self._batch // _SHARE) - self._sends.queued_for(failing)
        return Reading(
            limit=limit,
            in_progress=in_progress,
            left_out=waiting | self._sends.full(),
            failing=failing,
            blocked=blocked,
            share=min(share, limit) if failing else share,
        )

    async def _answer(self, exchange: Exchange) -> Answer | None:
        """Perform an exchange; return `None` while another relay has the lock."""
        if exchange.reading is not None:
            self._unread = False
            self._sends.begin_read()
        try:
            answer = await self._session.run(exchange, writes=bool(exchange.acknowledged))
        except Exception:
            # Whatever it was, what should have been read is still there for the next turn.
            self._unread = True
            raise
        self._standby = answer is None
        if self._standby:
            self._unread = True
        return answer

    def _is_worth_reading(self) -> bool:
        """Return whether the outbox may have records to send that were not read."""
        left = self._unread or self._left_some()
        return left or monotonic() >= self._read_at + self._poll_interval_s

    def _pause_s(self, waiting: set[OrderKey], *, full: bool = False) -> float:
        """Return the time until the next poll or retry, in seconds."""
        if len(self._sends.acknowledged) >= self._many:
            return 0.0
        now, poll_s = monotonic(), self._poll_interval_s
        if not full:
            poll_s += min(0.0, self._read_at - now)
        return max(0.0, min(poll_s, self._delete_at - now, self._failures.due_in_s(waiting)))

    async def _clear(self) -> None:
        """Delete the records sent last; if the database fails, they will be sent again."""
        acknowledged = self._sends.acknowledged
        if not acknowledged:
            return
        try:
            async with asyncio.timeout(self._drain_timeout_s):
                await self._session.run(Exchange(self._rows, acknowledged), writes=True)
        except Exception as error:
            _logger.warning(
                "%d records were sent and could not be deleted from the outbox (%s); they will be "
                "sent again",
                len(acknowledged),
                semconv.error_type(error),
            )

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(self._drain_timeout_s):
                await self._session.close()
        except Exception as error:
            _logger.debug("the relay's connection failed to close: %s", type(error).__name__)
