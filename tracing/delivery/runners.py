"""The tasks that the lanes of a loop share.

A task for each lane that has something to do would cost more than to begin and end the handling of
a record. So one task handles what waits in all lanes, one lane after another. If a handler waits,
the task stays with its lane, and other tasks handle the other lanes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

HANDLED_BY: Final[ContextVar[tuple[object, ...]]] = ContextVar("pipeline-tracing-loops", default=())
"""The loops whose handlers the current task runs in, outermost first."""


class Runnable(Protocol):
    """A lane."""

    name: str
    """What a task is called while it runs the lane."""

    def scheduled(self, task: asyncio.Task[Any]) -> None:
        """Note the task that was created to run the lane, unless that has begun."""

    async def run(self, task: asyncio.Task[Any] | None = None) -> bool:
        """Handle what waits; return whether the task may go on with other lanes.

        Args:
            task: The running task, if the caller has it.
        """


class Runners:
    """The tasks of one loop. For one event loop.

    Lanes are begun in the order in which they were added, each as soon as those before it are
    handled or wait. While a task handles a lane, another is scheduled if lanes are left: it begins
    only if the first one waits, or has nothing left to do.

    Args:
        owner: The loop; code that a handler calls finds it in `HANDLED_BY`.
    """

    def __init__(self, owner: object) -> None:
        self._ready: deque[Runnable] = deque()
        # The task that is scheduled and has not begun; it is done if other code has cancelled it.
        self._next: asyncio.Task[Any] | None = None
        # Whether the lane that was begun last is not handled yet.
        self._within = False
        self._creating = False
        # Tasks start in the context of the loop, not of the code that added a lane, such as a
        # handler that resumes one.
        self._context = copy_context()
        self._context.run(HANDLED_BY.set, (*HANDLED_BY.get(), owner))

    def add(self, lane: Runnable) -> None:
        """Run a lane soon; it has not been added since it ran last."""
        self._ready.append(lane)
        self._schedule()

    def wake(self) -> None:
        """Run the lanes that wait for a task which other code has cancelled before it began."""
        if self._ready:
            self._schedule()

    async def _run(self) -> None:
        if self._creating:
            # An eager task factory began it at once, within a lane or within `add`.
            await asyncio.sleep(0)
        self._next = None
        ready = self._ready
        task = asyncio.current_task()
        if not ready or task is None:
            return
        lane = ready.popleft()
        if ready and self._within:
            # A handler waits, so the next ones may too: with one task after another, the last
            # lane would begin late.
            waiting = [*ready]
            ready.clear()
            # In a copy: an eager task factory begins them at once, and what they run may add lanes.
            self._context.copy().run(_run_each, waiting)
        try:
            while True:
                if ready:
                    self._schedule()
                self._within = True
                task.set_name(lane.name)
                if not await lane.run(task):
                    return
                self._within = False
                if not ready:
                    return
                lane = ready.popleft()
        finally:
            self._within = False
            if ready:
                self._schedule()

    def _schedule(self) -> None:
        if self._next is not None and not self._next.done():
            return
        self._creating = True
        try:
            self._next = self._context.run(_create, self._run(), "consume")
        finally:
            self._creating = False


def _run_each(lanes: Iterable[Runnable]) -> None:
    for lane in lanes:
        lane.scheduled(_create(lane.run(), lane.name))


def _create(coroutine: Coroutine[Any, Any, object], name: str) -> asyncio.Task[Any]:
    return asyncio.create_task(coroutine, name=name)
