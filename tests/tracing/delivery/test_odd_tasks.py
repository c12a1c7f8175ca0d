"""Tasks of a loop that other code cancels, or that begin while they are created."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import coroutine
from typing import TYPE_CHECKING, Any

from tests.tracing.delivery.test_runners import Lane, names
from tracing import consume
from tracing.delivery.runners import Runners
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.tracing.conftest import _InMemory


async def test_a_loop_goes_on_although_the_task_of_its_only_lane_was_cancelled_before_it_began(
    memory: _InMemory,
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="g")
    handled: list[int] = []
    stop, running = asyncio.Event(), asyncio.get_running_loop()

    async def handle(record: Any) -> None:
        handled.append(record.offset)

    def cancelling(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **options)
        if work.__qualname__ == "Runners._run":
            loop.set_task_factory(None)
            task.cancel()
        return task

    running.set_task_factory(cancelling)
    loop = asyncio.create_task(consume(consumer, handle, stop=stop))
    await eventually(lambda: handled)
    stop.set()
    await loop

    assert running.get_task_factory() is None
    assert [0] == handled


def eagerly(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """Create a task as an eager task factory does: what comes before its first wait runs now."""
    waits_for: list[Any] = []
    with suppress(StopIteration):
        waits_for.append(work.send(None))

    @coroutine
    def rest() -> Generator[Any, Any, None]:
        while waits_for:
            answer = yield waits_for.pop()
            try:
                waits_for.append(work.send(answer))
            except StopIteration:
                return

    async def whole() -> None:
        await rest()

    return asyncio.Task(whole(), loop=loop, **options)


class _Adding(Lane):
    """A lane whose handler lets another lane go on, as one that resumes it."""

    def __init__(self, runners: Runners, other: Lane) -> None:
        super().__init__("adding", other.ran)
        self._add = runners.add
        self._other = other

    async def run(self, task: asyncio.Task[Any] | None = None) -> bool:
        self._add(self._other)
        return await super().run(task)


async def test_a_lane_that_runs_while_its_task_is_created_may_add_another() -> None:
    runners = Runners("loop")
    ran: list[tuple[str, asyncio.Task[Any] | None]] = []
    until = asyncio.Event()
    loop = asyncio.get_running_loop()
    adding = _Adding(runners, Lane("added", ran))
    loop.set_task_factory(eagerly)

    for lane in (Lane("0", ran, until), Lane("1", ran, until), adding):
        runners.add(lane)
    await eventually(lambda: len(ran) == 4)
    loop.set_task_factory(None)
    until.set()

    assert {"0", "1", "adding", "added"} == {*names(ran)}
