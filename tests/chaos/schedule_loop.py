"""Run `consume` once as a schedule's plan says, with its handlers, and end it."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

import tracing
from tests.chaos.schedule_clients import CURRENT_LOOP, WatchedConsumer
from tests.chaos.schedules import End, HandlerAction, LoopPlan, Schedule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.pausable_broker import PausableBroker
    from tests.chaos.schedule_history import History

# The time that a loop may take beyond its drain time: the last poll, a handler's clean-up, the last
# commit, the closing, and noticing a consumer that was closed directly.
_BOUND_S: Final = 0.5 + 0.5 + 2.0 + 1.0 + 1.0
# For a busy machine. A loop that never returns exceeds any limit.
_SLACK_S: Final = 10.0
_CLOSE_S: Final = 10.0
_START_S: Final = 8.0


@dataclass(slots=True, kw_only=True)
class SharedState:
    """State that the loops of a schedule share.

    Attributes:
        schedule: The schedule.
        history: Its history.
        broker: The broker.
        topic: The topic, and the group's name in the names of dead-letter topics.
        group: The consumer group.
        dead_letters: The producer of dead letters.
        telemetry: The telemetry of all clients.
        released: Set when hanging handlers are to return.
        keys: The key of each record that a handler received, by partition and offset.
        attempts: How often handlers received each record, by its number.
    """

    schedule: Schedule
    history: History
    broker: PausableBroker
    topic: str
    group: str
    dead_letters: tracing.TracedProducer
    telemetry: tracing.Telemetry
    released: asyncio.Event = field(default_factory=asyncio.Event)
    keys: dict[tuple[int, int], int] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)


class LoopRun:
    """One loop of one member.

    Args:
        shared: The state that all loops share.
        name: The loop's name in the history.
        plan: The plan of the loop.
        wait_for_end: Awaited before the loop is ended.
    """

    def __init__(
        self,
        shared: SharedState,
        name: str,
        plan: LoopPlan,
        wait_for_end: Callable[[], Awaitable[None]],
    ) -> None:
        self._shared = shared
        self._schedule = shared.schedule
        self._history = shared.history
        self._name = name
        self._plan = plan
        self._wait_for_end = wait_for_end
        self._close_in_handler = asyncio.Event()

    async def run(self) -> bool:
        """Start a consumer and let it consume; return false if it could not join the group."""
        shared, name = self._shared, self._name
        bare = WatchedConsumer(
            shared.topic,
            history=self._history,
            loop_name=name,
            bootstrap_servers=shared.broker.bootstrap_servers,
            group_id=shared.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            session_timeout_ms=2000,
            heartbeat_interval_ms=200,
            # The embedded broker sometimes loses a request to join.
            request_timeout_ms=6000,
            max_poll_records=self._schedule.max_poll_records,
        )
        consumer = tracing.TracedConsumer(bare, shared.telemetry, group=shared.topic)
        try:
            await asyncio.wait_for(consumer.start(), _START_S)
        except (KafkaError, TimeoutError) as error:
            self._history.note(name, f"cannot start: {error!r}")
            started = False
        else:
            started = True
            await self._consume(consumer, bare)
        closing = asyncio.create_task(consumer.stop())
        await asyncio.wait((closing,), timeout=_CLOSE_S)
        return started

    async def _consume(self, consumer: tracing.TracedConsumer, bare: WatchedConsumer) -> None:
        schedule, history, name = self._schedule, self._history, self._name
        stop = asyncio.Event()
        CURRENT_LOOP.set(name)
        task = asyncio.create_task(
            tracing.consume(
                consumer,
                lambda record: self._handle(record, consumer),
                retry=tracing.Retry(attempts=2, delay_s=0.05),
                dead_letters=tracing.DeadLetters(self._shared.dead_letters),
                stop=stop,
                concurrency=schedule.concurrency,
                max_buffered=schedule.max_buffered,
                commit_interval_s=schedule.commit_interval_s,
                drain_timeout_s=schedule.drain_timeout_s,
            )
        )
        history.note(name, "consumes")
        waiting = asyncio.ensure_future(self._wait_for_end())
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not task.done():
            suffix = " with the broker paused" if self._plan.broker_paused else ""
            history.note(name, f"is to end{suffix}: {self._plan.end}")
            bound_s = schedule.drain_timeout_s + _BOUND_S + _SLACK_S
            with self._shared.broker.stopped() if self._plan.broker_paused else nullcontext():
                others = await self._end(task, stop, consumer, bare)
                await asyncio.wait((task,), timeout=bound_s)
            if not task.done():
                history.problem(f"consume() of {name} did not return within {bound_s:g} s")
                task.cancel()
            await asyncio.wait({task, *others}, timeout=_CLOSE_S)
        self._record_outcome(task)

    async def _end(
        self,
        task: asyncio.Task[None],
        stop: asyncio.Event,
        consumer: tracing.TracedConsumer,
        bare: WatchedConsumer,
    ) -> list[asyncio.Task[None]]:
        match self._plan.end:
            case End.STOP:
                stop.set()
            case End.CANCEL:
                task.cancel()
            case End.CANCEL_TWICE:
                task.cancel()
                await asyncio.sleep(0.05)
                task.cancel()
            case End.CLOSE:
                return [asyncio.create_task(consumer.stop())]
            case End.CLOSE_BARE:
                closing: Any = bare.stop()  # type: ignore[no-untyped-call]  # aiokafka's
                return [asyncio.create_task(closing)]
            case End.UNSUBSCRIBE:
                consumer.unsubscribe()
            case End.CLOSE_IN_HANDLER:
                self._close_in_handler.set()
                await asyncio.wait((task,), timeout=0.5)
                # No record arrived, so no handler closed the consumer.
                stop.set()
        return []

    def _record_outcome(self, task: asyncio.Task[None]) -> None:
        name = self._name
        if not task.done():
            self._history.returned(name, "never")
            return
        if task.cancelled():
            self._history.returned(name, "cancelled")
            return
        error = task.exception()
        self._history.returned(name, repr(error) if error else "well")
        dead_letter_failed = (
            isinstance(error, ExceptionGroup)
            and error.subgroup(MessageSizeTooLargeError) is not None
        )
        if error is not None and not dead_letter_failed and not isinstance(error, KafkaError):
            self._history.problem(f"consume() of {name} ended with {error!r}")

    async def _handle(self, record: Any, consumer: tracing.TracedConsumer) -> None:
        shared, name = self._shared, self._name
        number, key = int(record.value), int(record.key)
        position = record.partition, record.offset
        shared.keys[position] = key
        attempts = shared.attempts[number] = shared.attempts.get(number, 0) + 1
        actions = self._schedule.actions[number]
        action = actions[min(attempts, len(actions)) - 1]
        self._history.handler_started(name, position, action)
        if self._close_in_handler.is_set():
            await consumer.stop()
        if self._plan.commits:
            await self._commit(consumer)
        late = await self._perform(action)
        if late:
            self._history.handler_ended_late(name, position)
        if action in {HandlerAction.FAIL, HandlerAction.SWALLOW_AND_FAIL}:
            raise ValueError(action)
        if not late:
            self._history.handler_succeeded(name, position, key)
        if action is HandlerAction.REJECT:
            raise tracing.Rejected(str(action))

    async def _commit(self, consumer: tracing.TracedConsumer) -> None:
        try:
            await consumer.commit()
        except KafkaError as error:
            self._history.note(self._name, f"commit() in a handler: {type(error).__name__}")

    async def _perform(self, action: HandlerAction) -> bool:
        """Perform the waiting of an action; return true if it swallowed a cancellation."""
        if action is HandlerAction.SLOW:
            await asyncio.sleep(0.2)
        elif action is HandlerAction.HANG:
            await self._shared.released.wait()
        elif action in {HandlerAction.SWALLOW, HandlerAction.SWALLOW_AND_FAIL}:
            try:
                await self._shared.released.wait()
            except asyncio.CancelledError:
                # Up to the time that its partition needs to move to another member.
                await asyncio.sleep(self._schedule.seed % 3 * 0.4)
                return True
        else:
            await asyncio.sleep(0)
        return False
