"""Handle the messages of one lane one after another."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from tracing.core.log import EventLog
from tracing.delivery.attempts import Attempts, answered, failure_of
from tracing.delivery.unreadable import Passing
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.flat.processing import FlatProcessing, general_of
from tracing.messaging.unreadable import BrokenRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from tracing.delivery.failure_handling import FailureHandling
    from tracing.delivery.places import Places
    from tracing.delivery.runners import Runners
    from tracing.messaging.process import Processing
    from tracing.messaging.reading import ConsumerPort, LaneSettlement
    from tracing.messaging.transport import Lane

_logger = EventLog("tracing")

# A handler that is cancelled gets this long to clean up; the loop does not wait longer for it.
_CLEAN_UP_S = 0.5


class LaneWorker:
    """Handles the messages of a lane in order.

    Attributes:
        lane: The lane.
        name: What its tasks are called.
        failure: The error of the message that could not be handled; no later one is begun.
        current: The message in progress.

    Args:
        runners: Run it when messages wait.
        consumer: The consumer that fetched the messages.
        lane: The lane.
        settlement: How its messages are settled.
        handler: Called with each message.
        handling: What to do about failures.
        places: Limits the messages in progress over all lanes; `None` for no limit.
        stop: Once it is set, no further message is begun.
        failed: Called with the error of a message that could not be handled.
    """

    def __init__(
        self,
        runners: Runners,
        consumer: ConsumerPort[Any],
        lane: Lane,
        settlement: LaneSettlement,
        handler: Callable[[Any], Awaitable[object]],
        handling: FailureHandling,
        *,
        places: Places | None,
        stop: asyncio.Event,
        failed: Callable[[Exception], None],
    ) -> None:
        self.lane = lane
        self.name = f"consume {consumer.info.transport.lane_names((lane,))}"
        self.current: Any = None
        self.failure: Exception | None = None
        self._runners = runners
        self._transport = consumer.info.transport
        self._process = consumer.process
        # Begins ordinary records; other transports than Kafka have no flat path.
        self._begin: Callable[[Any], FlatHandling | None] | None = getattr(
            consumer, "begin_flat", None
        )
        self._addressed_elsewhere = consumer.addressed_elsewhere
        self._handled = settlement.handled
        self._arrived = settlement.arrived
        self._handler = handler
        self._handling = handling
        self._places = places
        self._stop = stop
        self._failed = failed
        self._queue: deque[Any] = deque()
        self._task: asyncio.Task[Any] | None = None
        # A task that goes on with other lanes is not this one's any longer.
        self._running = self._added = False
        self._open = True
        self._closed = self._cut_off = self._reported = False
        self._has_place = self._backing_off = False

    @property
    def waiting(self) -> int:
        """Number of messages that wait."""
        return len(self._queue)

    @property
    def first_waiting(self) -> Any:
        """The first message that waits; `None` without one."""
        return self._queue[0] if self._queue else None

    @property
    def unhandled(self) -> list[Any]:
        """The messages that are not handled, in order."""
        return [*self._queue] if self.current is None else [self.current, *self._queue]

    @property
    def busy(self) -> bool:
        """Whether a record is in progress."""
        return self._running and self._task is not None and not self._task.done()

    @property
    def idle(self) -> bool:
        """Whether every message that arrived is handled."""
        return not self._queue and self.current is None

    @property
    def spent(self) -> bool:
        """Whether a new worker can replace it: it is idle, open and has not failed."""
        return self.idle and self._open and not self.busy and self.failure is None

    def add(self, messages: Sequence[Any]) -> int:
        """Handle these messages after those that already wait; return how many wait now."""
        self._queue.extend(messages)
        self._arrived()
        if self.current is None:
            self._start()
        return len(self._queue)

    def drop(self) -> None:
        """Forget the messages that wait."""
        self._queue.clear()

    def hold(self) -> None:
        """Begin no message until `release`."""
        self._open = False

    def release(self) -> None:
        """Continue after `hold`."""
        self._open = not self._closed
        self._start()

    def close(self) -> None:
        """Begin no further record."""
        self._closed, self._open = True, False

    async def finish(self, timeout_s: float) -> bool:
        """Finish the record in progress and begin no other; return false if that takes too long."""
        self.close()
        task = self._task
        if task is None or not self.busy:
            return True
        if self.current is None or self._backing_off:
            # It only waits: for the next attempt, or for a place, which other lanes' handlers may
            # hold for a long time.
            self.cut_off()
        await asyncio.wait((task,), timeout=timeout_s)
        if task.done():
            return True
        self.cut_off()
        await asyncio.wait((task,), timeout=_CLEAN_UP_S)
        if not task.done():
            self._report()
            # Otherwise a loop with limited concurrency could never handle anything again.
            self._give_place_back()
        return False

    def cut_off(self) -> None:
        """Cancel the record in progress: it stays unhandled and is delivered again."""
        self.close()
        self._cut_off = True
        if self._task is not None and self.busy:
            self._task.cancel()

    def _start(self) -> None:
        # Nothing is begun after a record that was begun and not handled.
        if self._queue and self._open and self.current is None and not (self._added or self.busy):
            self._added = True
            self._runners.add(self)

    def scheduled(self, task: asyncio.Task[Any]) -> None:
        """Note the task that was created to run this, unless that has begun."""
        if self._added:
            self._task, self._running, self._added = task, True, False

    async def run(self, task: asyncio.Task[Any] | None = None) -> bool:
        """Handle the messages that wait; return whether the task may go on with other lanes."""
        self._task = task = task or asyncio.current_task()
        self._running, self._added = True, False
        queue, places = self._queue, self._places
        try:
            while queue and self._open and not self._stop.is_set():
                if places is not None:
                    if places.take():
                        self._has_place = True
                    elif not await self._wait_for_place(places):
                        break
                record = self.current = queue.popleft()
                if not await self._handle(record, task):
                    return False
                self._handled(record)
                self.current = None
        except Exception as error:
            # Handlers' errors are dealt with elsewhere. Any other error ends the loop: otherwise
            # the lane would stall silently.
            self.failure = error
            self._failed(error)
            return False
        if not self._open or (task is not None and task.cancelling()):
            # `finish` waits for the end of the task; a cancellation is not for other lanes.
            return False
        self._running = False
        return True

    async def _wait_for_place(self, places: Places) -> bool:
        """Wait for a place; return false if no record may be begun any longer."""
        await places.wait()
        self._has_place = True
        if self._queue and self._open and not self._stop.is_set():
            return True
        self._give_place_back()
        return False

    async def _handle(self, record: Any, task: asyncio.Task[Any] | None) -> bool:
        """Handle a record; return false if it stays unhandled: then none may follow."""
        try:
            if isinstance(record, BrokenRecord):
                return await self._pass_over(record)
            handling = self._begun(record, task)
            if handling is None:
                return True
            handler = self._handler
            # The first attempt, flat: most records need no more, and no `Attempts`.
            try:
                unusable = await answered(handler, handler(record))
            except BaseException as raised:
                attempts = self._attempts(handling)
                delay_s = await self._attempt(attempts.first_raised(raised), record)
            else:
                if unusable is None:
                    if isinstance(handling, FlatHandling):
                        handling.end_handling()
                    else:
                        handling.end(None, task)
                    return not self._cut_off or self._is_handled()
                attempts = self._attempts(handling)
                delay_s = await self._attempt(attempts.first_unusable(unusable), record)
            while delay_s is not None:
                if not await self._back_off(delay_s, attempts):
                    return False
                delay_s = await self._attempt(attempts.make(), record)
        finally:
            if self._has_place:
                self._give_place_back()
        return self._is_handled()

    def _begun(
        self, record: Any, task: asyncio.Task[Any] | None
    ) -> FlatHandling | Processing | None:
        """Begin to handle a record; return `None` if it is for other groups."""
        if self._begin is not None:
            # Only ordinary records are begun so, none of which is for others.
            flat = self._begin(record)
            if flat is not None:
                return flat
        if self._addressed_elsewhere(record):
            return None
        processing: Processing = self._process(record)
        if self._begin is not None and isinstance(processing, FlatProcessing):
            # The record cannot be flat, as was just decided.
            processing.take_over()
        processing.start(task)
        return processing

    async def _pass_over(self, record: BrokenRecord) -> bool:
        if not self._addressed_elsewhere(record):
            passing = Passing(record, self._handling.unreadable)
            await self._attempt(passing.make(), record)
        return self._is_handled()

    def _is_handled(self) -> bool:
        """Return whether the record, which needs no further attempt, was handled."""
        if self._cut_off:
            self._report()
            return False
        return self.failure is None

    def _attempts(self, handling: FlatHandling | Processing) -> Attempts:
        processing = general_of(handling) if isinstance(handling, FlatHandling) else handling
        return Attempts(processing, self._handler, self._handling, cut_off=lambda: self._cut_off)

    async def _attempt(
        self, attempt: Coroutine[Any, Any, float | None], record: Any
    ) -> float | None:
        try:
            return await attempt
        except BaseException as error:
            if self._cut_off:
                if isinstance(error, Exception):
                    return None
                raise
            self.failure = failure_of(error, self._transport.place(record))
            self._failed(self.failure)
            if isinstance(error, Exception):
                return None
            raise

    async def _back_off(self, delay_s: float, attempts: Attempts) -> bool:
        """Wait for the delay, then for a place; return false if it is time to stop.

        Meanwhile the record's place is free for records of other partitions.
        """
        self._give_place_back()
        if self._closed:
            # Only the attempt in progress was to be finished, not those after it.
            attempts.give_up()
            return False
        self._backing_off = True
        try:
            try:
                await asyncio.wait_for(self._stop.wait(), delay_s)
            except TimeoutError:
                if self._places is not None:
                    await self._places.wait()
                    self._has_place = True
                return True
        except BaseException:
            attempts.give_up()
            raise
        finally:
            self._backing_off = False
        attempts.give_up()
        return False

    def _give_place_back(self) -> None:
        if self._has_place and self._places is not None:
            self._has_place = False
            self._places.give_back()

    def _report(self) -> None:
        """Log, once, that a handler outlived its cancellation."""
        if self._reported or self.current is None:
            return
        self._reported = True
        _logger.warning(
            "the handler of %s was cancelled and went on; its result does not count, "
            "the record will be delivered again, and nothing more is handled here",
            self._transport.place(self.current),
        )
