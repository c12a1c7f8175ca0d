"""Runs a schedule on a broker, and checks what happened."""

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
from tests.chaos.history import History
from tests.chaos.schedule_clients import LetterProducer
from tests.chaos.schedule_life import LifeRun, Scene
from tests.chaos.schedules import End, Life, Schedule
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.chaos.paused import PausableBroker

_ALL_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a schedule came to.

    Attributes:
        seed: Its seed.
        problems: What must not have happened.
        history: What happened, one line each.
        records: Number of records.
        handled: Number of times that a handler succeeded.
        lettered: Number of dead letters.
    """

    seed: int
    problems: tuple[str, ...]
    history: str
    records: int
    handled: int
    lettered: int


async def run(schedule: Schedule, broker: PausableBroker) -> Verdict:
    """Run a schedule; takes a bounded time."""
    history = History()
    async with AsyncExitStack() as stack:
        try:
            one = _Run(schedule, broker, history, stack)
            await asyncio.wait_for(one.run(), 2 * _ALL_S)
        except TimeoutError:
            history.problem(f"the schedule did not end within {2 * _ALL_S:g} s")
    return Verdict(
        schedule.seed,
        tuple(history.problems),
        str(history),
        len(schedule.records),
        history.handled,
        history.lettered,
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
        self._letters = LetterProducer(
            iter(schedule.letter_faults),
            history,
            lambda place: self._scene.keys.get(place, -1),
            bootstrap_servers=broker.bootstrap_servers,
        )
        self._scene = Scene(
            schedule=schedule,
            history=history,
            broker=broker,
            topic=topic,
            group=topic,
            letters=tracing.TracedProducer(self._letters, telemetry),
            telemetry=telemetry,
        )

    async def run(self) -> None:
        schedule, scene = self._schedule, self._scene
        await self._patiently(self._create_topics, monotonic() + _ALL_S)
        producer = await self._started(
            partial(AIOKafkaProducer, bootstrap_servers=scene.broker.bootstrap_servers)
        )
        await self._started(lambda: self._letters)
        self._began = monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send(producer))
            for at_s, duration_s in schedule.pauses:
                tasks.create_task(self._pause(at_s, duration_s))
            for number, lives in enumerate(schedule.members):
                tasks.create_task(self._member(number, lives))
        scene.let_go.set()
        await self._rest()
        self._history.check_order()

    async def _create_topics(self) -> None:
        topic = self._scene.topic
        await create_topics(
            self._scene.broker.bootstrap_servers,
            {topic: self._schedule.partitions, f"{topic}.{topic}.dlq": 1},
        )

    async def _started(self, make: Callable[[], Any]) -> Any:
        """Start a client; while others pause the broker, that takes more than one attempt."""
        while True:
            client = make()
            try:
                await client.start()
            except Exception as error:
                self._history.note("start", f"once more after {error!r}")
                await asyncio.sleep(0.2)
            else:
                self._stack.push_async_callback(client.stop)
                return client

    async def _send(self, producer: AIOKafkaProducer) -> None:
        for number, (at_s, key) in enumerate(self._schedule.records):
            await self._until(at_s)
            sent = await producer.send_and_wait(
                self._scene.topic,
                b"%d" % number,
                key=b"%d" % key,
                partition=key % self._schedule.partitions,
            )
            self._history.places[number] = (sent.partition, sent.offset)

    async def _pause(self, at_s: float, duration_s: float) -> None:
        await self._until(at_s)
        self._history.note("broker", f"is paused for {duration_s:.2f} s")
        await self._broker.pause(duration_s)

    async def _member(self, number: int, lives: tuple[Life, ...]) -> None:
        for count, life in enumerate(lives):
            await self._until(life.begins_s)
            lasts = partial(asyncio.sleep, life.lasts_s)
            await LifeRun(self._scene, f"m{number}.{count}", life, lasts).run()

    async def _rest(self) -> None:
        """Handle what the members left; whoever fails at that is followed by another."""
        deadline = monotonic() + _ALL_S
        uncommitted: list[str] = []
        for count in range(100):
            life = Life(begins_s=0.0, lasts_s=0.0, end=End.STOP, dark=False, commits=False)
            lasts = partial(self._until_all_is_done, deadline)
            if not await LifeRun(self._scene, f"rest.{count}", life, lasts).run():
                await self._patiently(self._move_to_another_group, deadline)
            if monotonic() > deadline:
                break
            if not self._history.unresolved():
                uncommitted = await self._patiently(self._uncommitted, deadline) or []
                if not uncommitted:
                    return
        for number in self._history.unresolved()[:5]:
            partition, offset = self._history.places[number]
            self._history.problem(f"p{partition}@{offset} was neither handled nor a dead letter")
        for what in uncommitted:
            self._history.problem(what)

    async def _patiently(
        self, act: Callable[[], Awaitable[list[str] | None]], deadline: float
    ) -> list[str] | None:
        """Do something again until it succeeds: a client does not start while others pause."""
        while monotonic() < deadline:
            try:
                return await act()
            except Exception as error:
                self._history.note("rest", f"once more after {error!r}")
                await asyncio.sleep(0.2)
        return None

    async def _move_to_another_group(self) -> None:
        """Go on as another group, from the same offsets.

        The embedded broker may take a member that left while it joined for the group's leader, and
        wait for it for ever.
        """
        tps = [
            TopicPartition(self._scene.topic, number) for number in range(self._schedule.partitions)
        ]
        async with self._plain_consumer() as before:
            committed = {tp: await before.committed(tp) for tp in tps}
        self._scene.group += "+"
        self._history.note("rest", f"goes on as another group, from {list(committed.values())}")
        offsets = {tp: offset for tp, offset in committed.items() if offset is not None}
        async with self._plain_consumer() as after:
            after.assign(tps)
            if offsets:
                await after.commit(offsets)

    def _plain_consumer(self) -> Any:
        return AIOKafkaConsumer(
            bootstrap_servers=self._scene.broker.bootstrap_servers,
            group_id=self._scene.group,
            enable_auto_commit=False,
        )

    async def _until_all_is_done(self, deadline: float) -> None:
        await eventually(
            lambda: not self._history.unresolved() or monotonic() > deadline, timeout_s=2 * _ALL_S
        )
        # What was handled by others, and not committed by them, comes once more.
        await asyncio.sleep(0.5)

    async def _uncommitted(self) -> list[str]:
        """Say where less is committed than is handled."""
        behind = []
        async with self._plain_consumer() as consumer:
            for partition, offsets in self._history.resolved.items():
                committed = await consumer.committed(TopicPartition(self._scene.topic, partition))
                if offsets and committed != max(offsets) + 1:
                    behind.append(
                        f"partition {partition} is handled up to {max(offsets)}, but {committed} "
                        "is committed"
                    )
        return behind

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, self._began + at_s - monotonic()))
