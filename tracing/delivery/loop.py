"""The loop of `consume`: poll, dispatch, commit, and end within a bounded time."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog, described
from tracing.delivery.closing import Closing, begin_reading, end_reading
from tracing.delivery.commits import Commits
from tracing.delivery.lane import LaneWorker
from tracing.delivery.runners import HANDLED_BY, Runners
from tracing.delivery.workers import Workers, tidied
from tracing.messaging.reading import ConsumerClosedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from tracing.delivery.failure_handling import FailureHandling
    from tracing.delivery.places import Places
    from tracing.messaging.reading import ConsumerPort
    from tracing.messaging.transport import Lane

_logger = EventLog("tracing")

_POLL_MS: Final = 200
# A poll that is in progress at the end returns by itself within `_POLL_MS`, except while the group
# rebalances: then it waits for an assignment that may never come.
_LAST_POLL_S: Final = 0.5
# The last commit gets what the handlers left of the drain time, and at least this.
_LAST_COMMIT_S: Final = 2.0
# A consumer that is closed by other code during a rebalance does not end its poll.
_LOOK_S: Final = 1.0


class Loop:
    """One run of `consume`. For one event loop; run it once.

    Args:
        consumer: The consumer.
        handler: Called with each record.
        handling: What to do about failures.
        stop: Ends the loop.
        places: Limits the records in progress; `None` for no limit.
        max_buffered: Most records of one partition that wait before its fetching pauses.
        commit_interval_s: Seconds between commits.
        drain_timeout_s: Seconds that records in progress have to finish at the end.
    """

    def __init__(
        self,
        consumer: ConsumerPort[Any],
        handler: Callable[[Any], Awaitable[object]],
        handling: FailureHandling,
        *,
        stop: asyncio.Event,
        places: Places | None,
        max_buffered: int,
        commit_interval_s: float,
        drain_timeout_s: float,
    ) -> None:
        self._consumer = consumer
        self._handler = handler
        self._handling = handling
        self._stop = stop
        self._places = places
        self._drain_timeout_s = drain_timeout_s
        self._transport = consumer.info.transport
        self._reading = reading = consumer.reading()
        self._runners = Runners(self)
        self._workers = Workers(reading, self._worker, max_buffered)
        self._commits = Commits(reading.settlement, self._transport, commit_interval_s, self._fail)
        self._changes: list[Callable[[], None]] = []
        self._failed: Exception | None = None
        self._ending = False
        self._poll_limit: asyncio.Timeout | None = None
        self._closing = Closing(consumer)

    async def run(self) -> None:
        """Run until there is a reason to end.

        Raises:
            RuntimeError: Another loop reads the consumer.
            Exception: What the loop ended with.
        """
        consumer, reading = self._consumer, self._reading
        begin_reading(consumer.client)
        reading.attach(self)
        consumer.observe(self)
        watch = asyncio.create_task(self._watch(), name="consume: end")
        try:
            await reading.begin()
            await self._run()
        except asyncio.CancelledError:
            if self._failed is not None:
                _logger.warning(
                    "consume() was cancelled as it ended with %s", described(self._failed)
                )
            raise
        finally:
            watch.cancel()
            try:
                await self._leave()
            finally:
                self._workers.cut_off()
                consumer.ignore(self)
                reading.detach()
                end_reading(consumer.client)
                self._closing.loop_left()
        await self._closing.wait()
        if self._failed is not None:
            raise self._failed

    async def revoked(self, lanes: Collection[Lane]) -> None:
        """Finish lanes that are about to move."""
        try:
            await self._finish(lanes, self._workers.revoked(lanes))
        finally:
            self._workers.forget(lanes)
            self._reading.forget(lanes)

    def arriving(self, lanes: Collection[Lane]) -> None:
        """Keep messages fetched from lanes that are being assigned."""
        self._workers.arriving(lanes)

    async def assigned(self, lanes: Collection[Lane]) -> None:
        """Start handling newly assigned lanes."""
        self._workers.assigned(lanes)

    async def settle_by(self, settle: Callable[[Collection[Any]], Awaitable[None]]) -> None:
        """Settle handled messages with this function; raise what it raises."""
        await self._commits.commit_by(settle, self._workers.owned())

    def in_progress(self, lane: Lane) -> Any:
        """Return a lane's message in progress; `None` without one."""
        worker = self._workers.get(lane)
        return None if worker is None else worker.current

    def waiting(self, lane: Lane) -> Any:
        """Return a lane's first waiting message; `None` without one."""
        worker = self._workers.get(lane)
        return None if worker is None else worker.first_waiting

    def drop(self, lane: Lane) -> None:
        """Forget a lane's waiting messages."""
        self._workers.drop(lane)

    def hold(self, lanes: Iterable[Lane]) -> None:
        """Begin no message of these lanes."""
        self._workers.hold(lanes)

    def release(self, lanes: Iterable[Lane]) -> None:
        """Continue with these lanes."""
        self._workers.release(lanes)

    def held(self) -> set[Any]:
        """Return the lanes that the application has paused."""
        return self._workers.held()

    def change_subscription(self, change: Callable[[], None]) -> None:
        """Finish and commit the records in progress, then make the change."""
        self._changes.append(change)
        self._workers.close()
        self._interrupt_poll()

    async def close(self) -> None:
        """End the loop, then the consumer; handlers and listeners do not wait for it."""
        self._end()
        inside = any(loop is self for loop in HANDLED_BY.get())
        await self._closing.ask(inside=inside or self._consumer.called_by_listener())

    async def _run(self) -> None:
        while not (self._ending or self._failed is not None or self._stop.is_set()):
            if self._changes:
                await self._change_subscription()
                continue
            self._workers.dispatch(await self._poll())
            self._runners.wake()
            if self._commits.due:
                await self._workers.pass_over()
                self._workers.forget_spent()
                self._commits.begin(self._workers.owned())

    async def _poll(self) -> Mapping[Lane, Sequence[Any]]:
        limit = self._poll_limit = asyncio.timeout(None)
        try:
            async with limit:
                try:
                    messages = await self._reading.poll(_POLL_MS)
                finally:
                    # There is nothing left to interrupt.
                    self._poll_limit = None
        except Exception as error:
            if limit.expired():
                return {}
            if isinstance(error, ConsumerClosedError):
                self._end()
                return {}
            raise
        return messages

    def _worker(self, lane: Lane) -> LaneWorker:
        self._handling.prepare(lane.topic)
        return LaneWorker(
            self._runners,
            self._consumer,
            lane,
            self._reading.settlement.lane(lane),
            self._handler,
            self._handling,
            places=self._places,
            stop=self._stop,
            failed=self._fail,
        )

    async def _change_subscription(self) -> None:
        await self._finish()
        await self._workers.give_back()
        self._workers.subscription_changed()
        changes, self._changes = self._changes, []
        for change in changes:
            change()
        if not self._reading.subscribed:
            self._end()

    async def _leave(self) -> None:
        """Finish and commit the records in progress, and rewind to the first unhandled ones."""
        self._ending = True
        await self._finish()
        await self._workers.give_back()
        changes, self._changes = self._changes, []
        for change in changes:
            tidied(change)

    async def _finish(
        self,
        lanes: Collection[Lane] | None = None,
        workers: Collection[LaneWorker] | None = None,
    ) -> None:
        """Finish and commit the records in progress, in all lanes or in these."""
        deadline = monotonic() + self._drain_timeout_s
        finishing = self._workers.every() if workers is None else workers
        late = await self._workers.finish(finishing, self._drain_timeout_s)
        if late:
            _logger.warning(
                "records of %s were still under way after %g s and were cancelled; they will be "
                "delivered again",
                self._transport.lane_names(late),
                self._drain_timeout_s,
            )
        await self._workers.pass_over()
        finished = self._workers.lanes() if lanes is None else lanes
        left_s = max(deadline - monotonic(), _LAST_COMMIT_S)
        try:
            await self._commits.commit_in_time(finished, left_s)
        except Exception as error:
            # This error must not hide what ended the loop, such as a cancellation.
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._failed is None:
            self._failed = error
        self._interrupt_poll()

    def _end(self) -> None:
        self._ending = True
        self._workers.close()
        self._interrupt_poll()

    def _interrupt_poll(self) -> None:
        limit = self._poll_limit
        if limit is not None and limit.when() is None:
            limit.reschedule(asyncio.get_running_loop().time() + _LAST_POLL_S)

    async def _watch(self) -> None:
        """Interrupt the poll once the loop is to stop, or the consumer was closed without it."""
        while not await _set_within(self._stop, _LOOK_S):
            if self._reading.closed:
                self._end()
                return
        self._interrupt_poll()


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
