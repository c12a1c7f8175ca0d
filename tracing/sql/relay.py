"""The relay: sends what is in an outbox, in order per key, until the broker has it."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context, attach, detach

from tracing.core import semconv
from tracing.core.callables import not_awaitable, require_event
from tracing.core.log import EventLog
from tracing.delivery.retry import Retry
from tracing.headers.codec import latest
from tracing.headers.dead_letter import unmarked
from tracing.sql.backlog import Backlog
from tracing.sql.drain_waiters import DrainWaiters, Wakeup
from tracing.sql.ordered_sends import OrderedSends
from tracing.sql.outbox_rows import OutboxRows, unpack
from tracing.sql.relay_lock import OtherRelayError
from tracing.sql.relay_options import check_engine, check_positive, check_sender
from tracing.sql.relay_session import RelaySession
from tracing.sql.send_failures import DatabaseOutage, SendFailures

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing.sql.outbox import SqlOutbox
    from tracing.sql.outbox_rows import StoredRecord
    from tracing.sql.relay_options import Sender

_logger = EventLog("tracing")

_STANDBY_S: Final = 1.0
_SHARE: Final = 4


class OutboxRelay:
    """Sends the records of an outbox and deletes each once the broker has acknowledged it.

    Records of one topic and key are sent one after the other, in the order in which they were
    added; different keys, and records without one, side by side. A record that cannot be sent
    stays and is tried again for ever, ever more slowly, and the records of its key wait for it;
    others go on. A record is sent at least once: again, as the same event, where the process ends
    between the acknowledgement and the deletion. Consumers with an inbox skip that.

    The span of each send continues the context that is stored with the record. A topic that the
    telemetry gives a boundary without trace context has none stored, so its sends begin traces.

    One relay of an outbox works at a time: several would mix up the order of a key. On PostgreSQL
    others stand by, and the next one takes over when the session of the first ends, also by a
    kill; of a host that vanishes the server learns by its `tcp_keepalives_*` settings. The relay
    keeps one of the engine's connections, and its lock needs a session, so no pooler that hands
    connections out by transaction. On SQLite a second relay is refused, in this process and in
    any other one; the lock is the empty file `DATABASE-TABLE-relay`, which stays.

    Args:
        outbox: What to send.
        engine: The outbox's database, SQLite or PostgreSQL.
        producer: Sends the records, with acknowledgements, without serializers and without a
            transactional id: inside a transaction an acknowledgement is provisional (KIP-98), and
            rows would be deleted whose records an abort takes back.
        batch: Records on their way at most.
        poll_interval_s: How long, in seconds, a record may lie there that nobody woke the relay
            for.
        retry_delay_s: The longest delay after a first failure, in seconds; it doubles each time.
        max_retry_delay_s: What it does not grow beyond, in seconds.
        drain_timeout_s: How long sends under way may take when the relay stops, in seconds.

    Raises:
        TypeError: `producer` cannot send, or its `send_and_wait` is not async.
        ValueError: The producer serializes, waits for no acknowledgement or is transactional,
            the database is another one, or a number is not positive.

    Task safety: one event loop; `run` in one task at a time.
    """

    def __init__(
        self,
        outbox: SqlOutbox,
        engine: AsyncEngine,
        producer: Sender,
        *,
        batch: int = 200,
        poll_interval_s: float = 0.1,
        retry_delay_s: float = 0.1,
        max_retry_delay_s: float = 10.0,
        drain_timeout_s: float = 10.0,
    ) -> None:
        check_sender(producer)
        check_engine(engine)
        check_positive(
            batch=batch,
            poll_interval_s=poll_interval_s,
            retry_delay_s=retry_delay_s,
            max_retry_delay_s=max_retry_delay_s,
            drain_timeout_s=drain_timeout_s,
        )
        telemetry = outbox.telemetry
        self._producer = producer
        self._batch = batch
        self._poll_interval_s = poll_interval_s
        self._drain_timeout_s = drain_timeout_s
        delays = Retry(delay_s=retry_delay_s, max_delay_s=max_retry_delay_s)
        self._rows = OutboxRows(outbox.table)
        self._session = RelaySession(engine, outbox.table)
        self._backlog = Backlog(telemetry, outbox.service)
        self._failures = SendFailures(delays, telemetry.message_of)
        self._sends = OrderedSends(self._send, self._failures, self.wake, many=max(1, batch // 2))
        self._outage = DatabaseOutage(delays, telemetry.message_of)
        self._wakeup = Wakeup()
        self._drains = DrainWaiters()
        self._started = False
        self._standby = False
        self._unusable: TypeError | None = None

    def wake(self) -> None:
        """Let it look at the outbox now. Call it after a commit, in the relay's event loop."""
        # One that stands by would ask for the lock with every commit of its service.
        if not self._standby:
            self._wakeup.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set, then let sends under way end; the rest stays in the outbox.

        A database that does not answer is tried again for ever, ever more slowly.

        Args:
            stop: Set it to end the relaying; after `drain`, to leave nothing behind.

        Raises:
            RuntimeError: It runs already, or has run; or another relay works on the same SQLite
                outbox.
            TypeError: `stop` is no `asyncio.Event`; or the sender gave nothing to await, and what
                it was given stays in the outbox.
        """
        require_event(stop, "stop")
        if self._started:
            raise RuntimeError("an OutboxRelay runs once")
        self._started = True
        self._backlog.begin()
        stopping = asyncio.create_task(stop.wait(), name="outbox waits for its end")
        stopping.add_done_callback(lambda _done: self._wakeup.set())
        try:
            while not (stop.is_set() or self._unusable):
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
        if self._unusable is not None:
            raise self._unusable

    async def drain(self, timeout_s: float = 10.0) -> bool:
        """Wait until all that is committed now has been sent, by this relay.

        Args:
            timeout_s: For how long, in seconds.

        Returns:
            Whether the outbox is empty. `False` also at once where another relay is at work, or
            this one has ended.
        """
        self._wakeup.set()
        return await self._drains.wait(timeout_s)

    async def _turn(self) -> float:
        """Clear what was sent and begin with what is there; tells how long to wait then, in s."""
        try:
            delay_s = await self._exchange()
        except OtherRelayError:
            raise
        except Exception as error:
            if self._session.exclusive:
                # With the connection, the lock is gone: another relay may be sending already.
                await self._sends.cut_off()
            return self._outage.failed(error)
        self._outage.over()
        return delay_s

    async def _exchange(self) -> float:
        draining = self._drains.waiting()
        sends, failures = self._sends, self._failures
        sends.reading()
        acknowledged = sends.acknowledged
        under_way = sends.known - acknowledged
        waiting = failures.waiting()
        limit = self._batch - len(under_way)
        # A topic with failures gets a share of the places: sends that hang would hold them all.
        failing, blocked = failures.topics()
        share = max(1, self._batch // _SHARE) - sends.under_way_to(failing)
        # Of the same moment as those that wait: a lane that comes due in between is in neither.
        tried = failures.keys_of(failing) - waiting - sends.busy()
        records: list[StoredRecord] = []
        retried: list[StoredRecord] = []
        async with self._session.transaction() as connection:
            self._standby = connection is None
            if connection is None:
                self._backlog.unknown()
                self._drains.settle(draining, empty=False)
                return _STANDBY_S
            if acknowledged:
                await self._rows.delete(connection, acknowledged)
            out = waiting | sends.full()
            if failing:
                share = min(share, limit)
                retried = await self._rows.read(
                    connection, share, without=under_way, without_keys=out, topics=failing
                )
                limit -= len(retried)
            records = await self._rows.read(
                connection,
                limit,
                without=under_way,
                without_keys=out,
                without_topics=failing | blocked,
            )
            if self._backlog.due:
                self._backlog.measured(*await self._rows.measure(connection))
        sends.forget(acknowledged)
        if len(retried) < share:
            # Somebody has taken a record out that could not be sent.
            for key in tried - {record.order_key for record in retried}:
                failures.over(key)
        if limit > 0 and not (records or under_way or failures):
            self._drains.settle(draining, empty=True)
        sends.take(retried)
        if sends.take(records) and len(records) == limit:
            return 0.0
        return min(self._poll_interval_s, failures.due_in_s(waiting))

    async def _send(self, record: StoredRecord) -> None:
        headers = unpack(record.headers)
        # In no context at all, so that the stored one is what the send's span continues.
        token = attach(Context())
        try:
            sending: object = self._producer.send_and_wait(
                record.topic,
                record.value,
                record.key,
                record.partition,
                headers=unmarked(headers, latest(headers)),
            )
            if not isawaitable(sending):
                # It may have been sent, and would be again with every attempt.
                self._unusable = not_awaitable(self._producer.send_and_wait, sending)
                self._wakeup.set()
                raise self._unusable
            await sending
        finally:
            detach(token)

    async def _clear(self) -> None:
        """Delete what was sent last, if the database lets us: else it is sent again."""
        acknowledged = self._sends.acknowledged
        if not acknowledged:
            return
        try:
            async with asyncio.timeout(self._drain_timeout_s), self._session.transaction() as found:
                if found is not None:
                    await self._rows.delete(found, acknowledged)
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
            _logger.debug("the relay's connection did not close well: %s", type(error).__name__)
