"""Run a schedule on a broker, and check the outcome."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

import tracing
from demo_pipeline.broker import create_topics
from tests.chaos.schedule_clients import DeadLetterProducer
from tests.chaos.schedule_history import History
from tests.chaos.schedule_loop import LoopRun, SharedState
from tests.chaos.schedules import End, LoopPlan, Schedule
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.pausable_broker import PausableBroker

_ALL_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class ScheduleResult:
    """The result of a schedule.

    Attributes:
        seed: Its seed.
        problems: The broken rules, one line each.
        history: The events, one line each.
        records: Number of records.
        handled: Number of times that a handler succeeded.
        dead_lettered: Number of dead letters.
    """

    seed: int
    problems: tuple[str, ...]
    history: str
    records: int
    handled: int
    dead_lettered: int


async def run(schedule: Schedule, broker: PausableBroker) -> ScheduleResult:
    """Run a schedule in a bounded time."""
    history = History()
    async with AsyncExitStack() as stack:
        try:
            schedule_run = _Run(schedule, broker, history, stack)
            await asyncio.wait_for(schedule_run.run(), 2 * _ALL_S)
        except TimeoutError:
            history.problem(f"the schedule did not end within {2 * _ALL_S:g} s")
    return ScheduleResult(
        schedule.seed,
        tuple(history.problems),
        str(history),
        len(schedule.records),
        history.handled,
        history.dead_lettered,
    )


class _Run:
    def __init__(
        self, schedule: Schedule, broker: PausableBroker, history: History, stack: AsyncExitStack
    ) -> None:
        self._schedule = schedule
        self._broker = broker
        self._history = history
        self._stack = stack
        self._began = 0.0
        topic = f"schedule-{schedule.seed}-{uuid4().hex[:8]}"
        telemetry = tracing.Telemetry(
            "chaos", tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider()
        )
        self._dead_letters = DeadLetterProducer(
            iter(schedule.dead_letter_faults),
            history,
            lambda position: self._shared.keys.get(position, -1),
            bootstrap_servers=broker.bootstrap_servers,
        )
        self._shared = SharedState(
            schedule=schedule,
            history=history,
            broker=broker,
            topic=topic,
            group=topic,
            dead_letters=tracing.TracedProducer(self._dead_letters, telemetry),
            telemetry=telemetry,
        )

    async def run(self) -> None:
        schedule, shared = self._schedule, self._shared
        await self._retry_until(self._create_topics, monotonic() + _ALL_S)
        producer = await self._start(
            partial(AIOKafkaProducer, bootstrap_servers=shared.broker.bootstrap_servers)
        )
        await self._start(lambda: self._dead_letters)
        self._began = monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send(producer))
            for at_s, duration_s in schedule.pauses:
                tasks.create_task(self._pause(at_s, duration_s))
            for number, loops in enumerate(schedule.members):
                tasks.create_task(self._member(number, loops))
        shared.released.set()
        await self._finish()
        self._history.check_order()

    async def _create_topics(self) -> None:
        topic = self._shared.topic
        await create_topics(
            self._shared.broker.bootstrap_servers,
            {topic: self._schedule.partitions, f"{topic}.{topic}.dlq": 1},
        )

    async def _start(self, make: Callable[[], Any]) -> Any:
        """Start a client, repeatedly while other schedules pause the broker."""
        while True:
            client = make()
            try:
                await client.start()
            except Exception as error:
                self._history.note("start", f"tries again after {error!r}")
                await asyncio.sleep(0.2)
            else:
                self._stack.push_async_callback(client.stop)
                return client

    async def _send(self, producer: AIOKafkaProducer) -> None:
        for number, (at_s, key) in enumerate(self._schedule.records):
            await self._until(at_s)
            sent = await producer.send_and_wait(
                self._shared.topic,
                b"%d" % number,
                key=b"%d" % key,
                partition=key % self._schedule.partitions,
            )
            self._history.positions[number] = (sent.partition, sent.offset)

    async def _pause(self, at_s: float, duration_s: float) -> None:
        await self._until(at_s)
        self._history.note("broker", f"is paused for {duration_s:.2f} s")
        await self._broker.pause(duration_s)

    async def _member(self, number: int, loops: tuple[LoopPlan, ...]) -> None:
        for count, plan in enumerate(loops):
            await self._until(plan.start_s)
            wait_for_end = partial(asyncio.sleep, plan.duration_s)
            await LoopRun(self._shared, f"m{number}.{count}", plan, wait_for_end).run()

    async def _finish(self) -> None:
        """Handle the records that the members left, in as many loops as that takes."""
        deadline = monotonic() + _ALL_S
        uncommitted: list[str] = []
        for count in range(100):
            plan = LoopPlan(
                start_s=0.0, duration_s=0.0, end=End.STOP, broker_paused=False, commits=False
            )
            wait_for_end = partial(self._until_all_is_done, deadline)
            if not await LoopRun(self._shared, f"finish.{count}", plan, wait_for_end).run():
                await self._retry_until(self._move_to_another_group, deadline)
            if monotonic() > deadline:
                break
            if not self._history.unresolved():
                uncommitted = await self._retry_until(self._uncommitted, deadline) or []
                if not uncommitted:
                    return
        for number in self._history.unresolved()[:5]:
            partition, offset = self._history.positions[number]
            self._history.problem(f"p{partition}@{offset} was neither handled nor a dead letter")
        for problem in uncommitted:
            self._history.problem(problem)

    async def _retry_until(
        self, act: Callable[[], Awaitable[list[str] | None]], deadline: float
    ) -> list[str] | None:
        """Repeat an action until it succeeds; a pause of the broker makes it fail."""
        while monotonic() < deadline:
            try:
                return await act()
            except Exception as error:
                self._history.note("finish", f"tries again after {error!r}")
                await asyncio.sleep(0.2)
        return None

    async def _move_to_another_group(self) -> None:
        """Continue as another group, from the same offsets.

        The embedded broker can make a member that left while joining the group's leader, and then
        waits for it forever.
        """
        tps = [
            TopicPartition(self._shared.topic, number)
            for number in range(self._schedule.partitions)
        ]
        async with self._plain_consumer() as before:
            committed = {tp: await before.committed(tp) for tp in tps}
        self._shared.group += "+"
        self._history.note("finish", f"continues as another group from {list(committed.values())}")
        offsets = {tp: offset for tp, offset in committed.items() if offset is not None}
        async with self._plain_consumer() as after:
            after.assign(tps)
            if offsets:
                await after.commit(offsets)

    def _plain_consumer(self) -> Any:
        return AIOKafkaConsumer(
            bootstrap_servers=self._shared.broker.bootstrap_servers,
            group_id=self._shared.group,
            enable_auto_commit=False,
        )

    async def _until_all_is_done(self, deadline: float) -> None:
        await eventually(
            lambda: not self._history.unresolved() or monotonic() > deadline, timeout_s=2 * _ALL_S
        )
        # Records that other members handled but did not commit arrive once more.
        await asyncio.sleep(0.5)

    async def _uncommitted(self) -> list[str]:
        """List the partitions whose committed offset is behind the handled records."""
        behind = []
        async with self._plain_consumer() as consumer:
            for partition, offsets in self._history.resolved.items():
                committed = await consumer.committed(TopicPartition(self._shared.topic, partition))
                if offsets and committed != max(offsets) + 1:
                    behind.append(
                        f"partition {partition} is handled up to {max(offsets)}, but {committed} "
                        "is committed"
                    )
        return behind

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, self._began + at_s - monotonic()))
