"""One run of `consume` in a schedule: its handlers, and how it is made to end."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

import tracing
from tests.chaos.schedule_clients import LIFE, WatchedConsumer
from tests.chaos.schedules import End, Life, Schedule, Turn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.history import History
    from tests.chaos.paused import PausableBroker

# What a loop may take beyond its drain time: the last poll, a handler's cleaning up, the last
# commit, the closing, and the look at a consumer that was closed behind its back.
_BOUND_S: Final = 0.5 + 0.5 + 2.0 + 1.0 + 1.0
# For a machine that does other things too; a loop that does not return takes longer than any.
_SLACK_S: Final = 10.0
_CLOSE_S: Final = 10.0
_START_S: Final = 8.0


@dataclass(slots=True, kw_only=True)
class Scene:
    """What the lives of a schedule share.

    Attributes:
        schedule: The schedule.
        history: What has happened.
        broker: Where all this happens.
        topic: The topic; also the group's name, as dead letters know it.
        group: The consumer group.
        letters: The producer of dead letters.
        telemetry: What all clients share.
        let_go: Set once nothing is to hang any more.
        keys: The key of each record that a handler has met, by partition and offset.
        met: How often handlers have met a record, by its number.
    """

    schedule: Schedule
    history: History
    broker: PausableBroker
    topic: str
    group: str
    letters: tracing.TracedProducer
    telemetry: tracing.Telemetry
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    keys: dict[tuple[int, int], int] = field(default_factory=dict)
    met: dict[int, int] = field(default_factory=dict)


class LifeRun:
    """One life of one member.

    Args:
        scene: What it shares with others.
        name: Its name in the history.
        life: What is to happen.
        lasts: Awaited before it is made to end.
    """

    def __init__(
        self, scene: Scene, name: str, life: Life, lasts: Callable[[], Awaitable[None]]
    ) -> None:
        self._scene = scene
        self._schedule = scene.schedule
        self._history = scene.history
        self._name = name
        self._life = life
        self._lasts = lasts
        self._close_in_handler = asyncio.Event()

    async def run(self) -> bool:
        """Start a consumer and let it consume; false where the group does not take it."""
        scene, name = self._scene, self._name
        bare = WatchedConsumer(
            scene.topic,
            history=self._history,
            life=name,
            bootstrap_servers=scene.broker.bootstrap_servers,
            group_id=scene.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            session_timeout_ms=2000,
            heartbeat_interval_ms=200,
            # The embedded broker loses a request to join now and then.
            request_timeout_ms=6000,
            max_poll_records=self._schedule.max_poll_records,
        )
        consumer = tracing.TracedConsumer(bare, scene.telemetry, group=scene.topic)
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
        LIFE.set(name)
        task = asyncio.create_task(
            tracing.consume(
                consumer,
                lambda record: self._handle(record, consumer),
                retry=tracing.Retry(attempts=2, delay_s=0.05),
                dead_letters=tracing.DeadLetters(self._scene.letters),
                stop=stop,
                concurrency=schedule.concurrency,
                max_buffered=schedule.max_buffered,
                commit_interval_s=schedule.commit_interval_s,
                drain_timeout_s=schedule.drain_timeout_s,
            )
        )
        history.note(name, "consumes")
        lasting = asyncio.ensure_future(self._lasts())
        await asyncio.wait((task, lasting), return_when=asyncio.FIRST_COMPLETED)
        lasting.cancel()
        if not task.done():
            dark = " in the dark" if self._life.dark else ""
            history.note(name, f"is to end{dark}: {self._life.end}")
            bound_s = schedule.drain_timeout_s + _BOUND_S + _SLACK_S
            with self._scene.broker.stopped() if dark else nullcontext():
                others = await self._end(task, stop, consumer, bare)
                await asyncio.wait((task,), timeout=bound_s)
            if not task.done():
                history.problem(f"consume() of {name} did not return within {bound_s:g} s")
                task.cancel()
            await asyncio.wait({task, *others}, timeout=_CLOSE_S)
        self._returned(task)

    async def _end(
        self,
        task: asyncio.Task[None],
        stop: asyncio.Event,
        consumer: tracing.TracedConsumer,
        bare: WatchedConsumer,
    ) -> list[asyncio.Task[None]]:
        match self._life.end:
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
                # No record came.
                stop.set()
        return []

    def _returned(self, task: asyncio.Task[None]) -> None:
        name = self._name
        if not task.done():
            self._history.returns(name, "never")
            return
        if task.cancelled():
            self._history.returns(name, "cancelled")
            return
        error = task.exception()
        self._history.returns(name, repr(error) if error else "well")
        letters_failed = (
            isinstance(error, ExceptionGroup)
            and error.subgroup(MessageSizeTooLargeError) is not None
        )
        if error is not None and not letters_failed and not isinstance(error, KafkaError):
            self._history.problem(f"consume() of {name} ended with {error!r}")

    async def _handle(self, record: Any, consumer: tracing.TracedConsumer) -> None:
        scene, name = self._scene, self._name
        number, key = int(record.value), int(record.key)
        place = record.partition, record.offset
        scene.keys[place] = key
        met = scene.met[number] = scene.met.get(number, 0) + 1
        turns = self._schedule.turns[number]
        turn = turns[min(met, len(turns)) - 1]
        self._history.begins(name, place, turn)
        if self._close_in_handler.is_set():
            await consumer.stop()
        if self._life.commits:
            await self._commit(consumer)
        late = await self._wait(turn)
        if late:
            self._history.ends_late(name, place)
        if turn in {Turn.FAIL, Turn.SWALLOW_AND_FAIL}:
            raise ValueError(turn)
        if not late:
            self._history.succeeds(name, place, key)
        if turn is Turn.REJECT:
            raise tracing.Rejected(str(turn))

    async def _commit(self, consumer: tracing.TracedConsumer) -> None:
        try:
            await consumer.commit()
        except KafkaError as error:
            self._history.note(self._name, f"commit() in a handler: {type(error).__name__}")

    async def _wait(self, turn: Turn) -> bool:
        """Take the time of a turn; true where it was cancelled and went on nevertheless."""
        if turn is Turn.SLOW:
            await asyncio.sleep(0.2)
        elif turn is Turn.HANG:
            await self._scene.let_go.wait()
        elif turn in {Turn.SWALLOW, Turn.SWALLOW_AND_FAIL}:
            try:
                await self._scene.let_go.wait()
            except asyncio.CancelledError:
                # As long as it may take until its partition is elsewhere.
                await asyncio.sleep(self._schedule.seed % 3 * 0.4)
                return True
        else:
            await asyncio.sleep(0)
        return False
