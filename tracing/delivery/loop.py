"""The loop of `consume`: poll, hand out, commit, and leave within a bounded time."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog, described
from tracing.delivery.beside import ConsumerBesideLoop
from tracing.delivery.closing import Closing
from tracing.delivery.commits import Commits
from tracing.delivery.lane import HANDLED_BY, PartitionWorker
from tracing.delivery.reading import begin_reading, end_reading
from tracing.delivery.workers import Workers, tidied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from aiokafka.structs import ConsumerRecord, TopicPartition

    from tracing.delivery.commits import Commit
    from tracing.delivery.failure_handling import FailureHandling
    from tracing.kafka.consumer import TracedConsumer

_logger = EventLog("tracing")

_POLL_MS: Final = 200
# A poll that is under way at the end returns by itself within `_POLL_MS`, except while the group
# rebalances: then it waits for an assignment that may never come.
_LAST_POLL_S: Final = 0.5
# The last commit gets what the handlers left of the drain time, and at least this.
_LAST_COMMIT_S: Final = 2.0
# A consumer that was closed behind our back, while the group rebalances, does not end its poll.
_LOOK_S: Final = 1.0


class Loop:
    """One run of `consume`. For one event loop; to be run once.

    Args:
        consumer: The consumer.
        handler: Called with each record.
        handling: What to do about failures.
        stop: Ends the loop.
        places: Bounds the records under way; `None` where nothing does.
        max_buffered: Records of one partition that wait before its fetching pauses.
        commit_interval_s: Seconds between commits.
        drain_timeout_s: Seconds that records under way have to finish at the end.
    """

    def __init__(
        self,
        consumer: TracedConsumer,
        handler: Callable[[ConsumerRecord[Any, Any]], Awaitable[object]],
        handling: FailureHandling,
        *,
        stop: asyncio.Event,
        places: asyncio.Semaphore | None,
        max_buffered: int,
        commit_interval_s: float,
        drain_timeout_s: float,
    ) -> None:
        self._consumer = consumer
        self._client: Any = consumer.wrapped
        self._handler = handler
        self._handling = handling
        self._stop = stop
        self._places = places
        self._drain_timeout_s = drain_timeout_s
        self._polls = consumer.polls_for_loop()
        self._workers = Workers(self._client, self._worker, max_buffered)
        self._commits = Commits(consumer, commit_interval_s, self._fail)
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
        client, consumer = self._client, self._consumer
        begin_reading(client)
        consumer.divert_calls(ConsumerBesideLoop(client, consumer.info.group, self))
        consumer.rebalances.add(self)
        watch = asyncio.create_task(self._watch(), name="consume: end")
        try:
            await self._workers.positions.note()
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
                consumer.rebalances.remove(self)
                consumer.divert_calls(None)
                end_reading(client)
                self._closing.loop_left()
        await self._closing.wait()
        if self._failed is not None:
            raise self._failed

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Finish with partitions that are about to move."""
        try:
            await self._finish(self._workers.revoked(partitions))
        finally:
            self._workers.forget(partitions)
            self._polls.forget(partitions)

    def arriving(self, partitions: Collection[TopicPartition]) -> None:
        """Keep what is fetched of partitions that come."""
        self._workers.arriving(partitions)

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Begin with partitions that came."""
        self._workers.assigned(partitions)

    async def commit_handled(self, commit: Commit) -> None:
        """Commit what was handled, by the client's `commit`; raise what it raises."""
        await self._commits.commit_by(commit, self._workers.owned())

    def position_of(self, tp: TopicPartition) -> int | None:
        """Return the first offset that is not handled; `None` where nothing was fetched."""
        worker = self._workers.get(tp)
        return None if worker is None else worker.position

    def sought(self, tp: TopicPartition, offset: int) -> None:
        """Forget what was fetched of a partition that goes on elsewhere."""
        self._workers.sought(tp, offset)
        self._polls.forget([tp])

    def hold(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin no record of these partitions."""
        self._workers.hold(partitions)

    def release(self, partitions: Iterable[TopicPartition]) -> None:
        """Go on with these partitions."""
        self._workers.release(partitions)

    def held(self) -> set[TopicPartition]:
        """Return the partitions that the application has paused."""
        return self._workers.held()

    def change_subscription(self, change: Callable[[], None]) -> None:
        """Finish and commit what is under way, then make the change."""
        self._changes.append(change)
        self._workers.close()
        self._interrupt_poll()

    async def close(self) -> None:
        """End the loop, then the consumer; handlers and listeners do not wait for it."""
        self._end()
        inside = any(loop is self for loop in HANDLED_BY.get())
        await self._closing.ask(inside=inside or self._consumer.rebalances.waits_for_caller())

    async def _run(self) -> None:
        while not (self._ending or self._failed is not None or self._stop.is_set()):
            if self._changes:
                await self._change_subscription()
                continue
            self._workers.dispatch(await self._poll())
            if self._commits.due:
                await self._settle()
                self._commits.begin(self._workers.owned())

    async def _poll(self) -> Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]:
        self._workers.positions.trusted = False
        limit = self._poll_limit = asyncio.timeout(None)
        try:
            async with limit:
                try:
                    records = await self._polls.poll(_POLL_MS)
                finally:
                    # From here on there is nothing to interrupt.
                    self._poll_limit = None
        except Exception as error:
            if limit.expired():
                return {}
            if type(error).__name__ == "ConsumerStoppedError":
                self._end()
                return {}
            raise
        self._workers.positions.trusted = True
        return records

    def _worker(self, tp: TopicPartition) -> PartitionWorker:
        self._handling.prepare(tp.topic)
        return PartitionWorker(
            self,
            self._consumer,
            tp,
            self._handler,
            self._handling,
            places=self._places,
            stop=self._stop,
            failed=self._fail,
        )

    async def _settle(self) -> None:
        if self._consumer.info.group is not None:
            await self._workers.settle()

    async def _change_subscription(self) -> None:
        await self._finish(None)
        self._workers.rewind()
        self._workers.subscription_changed()
        changes, self._changes = self._changes, []
        for change in changes:
            change()
        if not (self._client.subscription() or self._client.assignment()):
            self._end()

    async def _leave(self) -> None:
        """Finish what is under way, commit it, and rewind over what was fetched in vain."""
        self._ending = True
        await self._finish(None)
        self._workers.rewind()
        changes, self._changes = self._changes, []
        for change in changes:
            tidied(change)

    async def _finish(self, workers: Mapping[TopicPartition, PartitionWorker] | None) -> None:
        """Finish what is under way, everywhere or there, and commit it."""
        deadline = monotonic() + self._drain_timeout_s
        finishing = self._workers.every() if workers is None else workers
        late = await self._workers.finish(finishing.values(), self._drain_timeout_s)
        if late:
            _logger.warning(
                "records of %s were still under way after %g s and were cancelled; they will be "
                "delivered again",
                ", ".join(f"{tp.topic}[{tp.partition}]" for tp in late),
                self._drain_timeout_s,
            )
        await self._settle()
        finished = self._workers.every() if workers is None else workers
        left_s = max(deadline - monotonic(), _LAST_COMMIT_S)
        try:
            await self._commits.commit_in_time(finished, left_s)
        except Exception as error:
            # What ended the loop, such as a cancellation, is not to be hidden by this.
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
            try:
                self._client.__aiter__()
            except Exception as error:
                if type(error).__name__ == "ConsumerStoppedError":
                    self._end()
                    return
        self._interrupt_poll()


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
