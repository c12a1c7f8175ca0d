"""Lanes share a task until a handler waits; then the others get tasks of their own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from aiokafka.structs import TopicPartition

from tracing.delivery.failure_handling import FailureHandling
from tracing.delivery.lane import LaneWorker
from tracing.delivery.runners import HANDLED_BY, Runners
from tracing.messaging.reading import consumer_port
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.tracing.conftest import _InMemory
    from tracing import TracedConsumer

VARIABLE: ContextVar[str] = ContextVar("variable", default="")


class Lane:
    """A lane that notes in which task it ran.

    Args:
        name: Its name.
        ran: Names and tasks of the lanes that have begun, in order.
        until: What it waits for, if it waits.
        ends: Whether its task may handle no other lane.
    """

    def __init__(
        self,
        name: str,
        ran: list[tuple[str, asyncio.Task[Any] | None]],
        until: asyncio.Event | None = None,
        *,
        ends: bool = False,
    ) -> None:
        self.name = name
        self.ran = ran
        self.task: asyncio.Task[Any] | None = None
        self.variable = ""
        self.loops: tuple[object, ...] = ()
        self._until = until
        self._ends = ends

    def scheduled(self, task: asyncio.Task[Any]) -> None:
        self.task = task

    async def run(self, task: asyncio.Task[Any] | None = None) -> bool:
        assert task in (None, asyncio.current_task())
        self.ran.append((self.name, asyncio.current_task()))
        self.variable, self.loops = VARIABLE.get(), HANDLED_BY.get()
        VARIABLE.set("a handler's")
        if self._until is not None:
            await self._until.wait()
        return not self._ends


def names(ran: Sequence[tuple[str, object]]) -> list[str]:
    return [name for name, _ in ran]


async def test_lanes_whose_handlers_do_not_wait_share_a_task() -> None:
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []

    for number in range(5):
        runners.add(Lane(str(number), ran))
    await eventually(lambda: len(ran) == 5)

    assert [*"01234"] == names(ran)
    assert 1 == len({task for _, task in ran})


async def test_a_handler_that_waits_does_not_hold_up_other_lanes() -> None:
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []
    until = asyncio.Event()

    for number in range(5):
        runners.add(Lane(str(number), ran, until))
    await eventually(lambda: len(ran) == 5)

    assert [*"01234"] == names(ran)
    assert 5 == len({task for _, task in ran})
    assert [*"01234"] == [task.get_name() for _, task in ran if task is not None]
    until.set()


async def test_lanes_that_become_ready_later_run_although_a_handler_waits() -> None:
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []
    until = asyncio.Event()
    runners.add(Lane("waits", ran, until))
    await eventually(lambda: ran)

    for number in range(2):
        runners.add(Lane(str(number), ran))
    await eventually(lambda: len(ran) == 3)

    until.set()


async def test_a_task_that_may_not_go_on_leaves_the_other_lanes_to_another() -> None:
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []
    runners.add(Lane("first", ran, ends=True))
    runners.add(Lane("second", ran))
    runners.add(Lane("third", ran))

    await eventually(lambda: len(ran) == 3)

    (_, first), (_, second), (_, third) = ran
    assert first is not second
    assert second is third


async def test_a_cancelled_handler_leaves_the_other_lanes_to_another_task() -> None:
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []
    runners.add(Lane("cancelled", ran, asyncio.Event()))
    await eventually(lambda: ran)
    _, task = ran[0]
    assert task is not None

    task.cancel()
    runners.add(Lane("second", ran))
    await eventually(lambda: len(ran) == 2)

    assert task.cancelled()


async def test_tasks_start_in_the_context_of_the_loop() -> None:
    VARIABLE.set("the loop's")
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []
    until = asyncio.Event()
    lanes = [Lane(str(number), ran, until) for number in range(4)]

    VARIABLE.set("of the code that adds a lane")
    for lane in lanes:
        runners.add(lane)
    await eventually(lambda: len(ran) == 4)

    assert ["the loop's"] * 4 == [lane.variable for lane in lanes]
    assert [("loop",)] * 4 == [lane.loops for lane in lanes]
    until.set()


async def test_a_task_that_is_cancelled_before_it_begins_stops_no_lane() -> None:
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []
    before = asyncio.all_tasks()
    runners.add(Lane("first", ran))
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await asyncio.sleep(0)

    runners.add(Lane("second", ran))
    await eventually(lambda: len(ran) == 2)

    assert ["first", "second"] == names(ran)


async def test_lanes_know_their_task_before_it_begins() -> None:
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []
    until = asyncio.Event()
    lanes = [Lane(str(number), ran, until) for number in range(4)]
    for lane in lanes:
        runners.add(lane)

    await eventually(lambda: lanes[3].task is not None)

    # The first two run in shared tasks.
    assert [True, True, False, False] == [lane.task is None for lane in lanes]
    await eventually(lambda: len(ran) == 4)
    assert [lane.task for lane in lanes[2:]] == [task for _, task in ran[2:]]
    until.set()


def eagerly(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Create a task as an eager task factory does: what comes before its first wait runs now."""
    coroutine.send(None)

    async def rest() -> None:
        with suppress(StopIteration):
            coroutine.send(None)

    return asyncio.Task(rest(), loop=loop, **options)


async def test_a_task_that_begins_while_it_is_created_runs_no_lane_yet() -> None:
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []
    loop = asyncio.get_running_loop()
    loop.set_task_factory(eagerly)

    for number in range(2000):
        runners.add(Lane(str(number), ran))
    assert [] == ran
    await eventually(lambda: len(ran) == 2000)
    loop.set_task_factory(None)

    assert [str(number) for number in range(2000)] == names(ran)


class Workers:
    """Makes workers of a topic's partitions, which share their tasks."""

    def __init__(self, consumer: TracedConsumer, topic: str) -> None:
        port: Any = consumer_port(consumer)
        self._port = port
        self._topic = topic
        self._settlement = port.reading().settlement
        self._handling = FailureHandling(port, None, None, "raise")
        self._runners = Runners("loop")
        self._stop = asyncio.Event()

    def make(self, partition: int, handler: Callable[[Any], Awaitable[None]]) -> LaneWorker:
        """Make that of a partition."""
        lane = TopicPartition(self._topic, partition)
        return LaneWorker(
            self._runners,
            self._port,
            lane,
            self._settlement.lane(lane),
            handler,
            self._handling,
            places=None,
            stop=self._stop,
            failed=lambda _: None,
        )


async def test_a_lane_that_is_handled_does_not_cancel_another_ones_handler(
    memory: _InMemory,
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    for partition in range(2):
        await producer.send_and_wait(topic, b"v", partition=partition)
    consumer = await memory.consumer(topic, group="g")
    # Not traced: the workers begin the handling.
    records: Any = await consumer.wrapped.getmany(timeout_ms=1000)
    workers = Workers(consumer, topic)
    tasks = []
    until, ended = asyncio.Event(), asyncio.Event()

    async def quick(_: Any) -> None:
        tasks.append(asyncio.current_task())

    async def slow(_: Any) -> None:
        tasks.append(asyncio.current_task())
        await until.wait()
        ended.set()

    first, second = workers.make(0, quick), workers.make(1, slow)
    first.add(records[first.lane])
    second.add(records[second.lane])
    await eventually(lambda: len(tasks) == 2)
    assert tasks[0] is tasks[1]
    assert [False, True] == [first.busy, second.busy]

    assert await first.finish(10)
    first.cut_off()
    until.set()

    await asyncio.wait_for(ended.wait(), 10)
    await eventually(lambda: second.idle)


async def test_a_lane_is_finished_as_soon_as_its_record_is_although_others_wait(
    memory: _InMemory,
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    for partition in range(2):
        await producer.send_and_wait(topic, b"v", partition=partition)
    consumer = await memory.consumer(topic, group="g")
    records: Any = await consumer.wrapped.getmany(timeout_ms=1000)
    workers = Workers(consumer, topic)
    begun, until, never = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def waits(_: Any) -> None:
        begun.set()
        await until.wait()

    async def hangs(_: Any) -> None:
        await never.wait()

    first, second = workers.make(0, waits), workers.make(1, hangs)
    first.add(records[first.lane])
    await begun.wait()
    finishing = asyncio.create_task(first.finish(60))
    await asyncio.sleep(0)
    # The task that handles the first lane must not go on with this one.
    second.add(records[second.lane])
    until.set()

    assert await asyncio.wait_for(finishing, 10)
    assert first.idle
    await eventually(lambda: second.busy)
    second.cut_off()
