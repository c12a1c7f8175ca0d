"""Several services in one process: started, watched and stopped together."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from demo_pipeline.runtime.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
    from contextlib import AbstractAsyncContextManager

    from demo_pipeline.app.bootstrap import RunningService

Result = TypeVar("Result")

_logger = logging.getLogger("demo_pipeline.ensemble")
# Longer than a service takes to stop on a busy machine; each of its steps has a bound of its own.
_STOP_S: Final = 60.0


@asynccontextmanager
async def together(
    services: Mapping[str, AbstractAsyncContextManager[RunningService]],
) -> AsyncIterator[Mapping[str, RunningService]]:
    """Start and stop services concurrently, because joining a consumer group takes seconds.

    Raises:
        Exception: The error of a service that could not start or stop.
    """
    running: dict[str, RunningService] = {}
    all_run, leave = asyncio.Event(), asyncio.Event()

    async def host(name: str, service: AbstractAsyncContextManager[RunningService]) -> None:
        async with service as started:
            running[name] = started
            if len(running) == len(services):
                all_run.set()
            await leave.wait()

    hosts = {name: asyncio.create_task(host(name, service)) for name, service in services.items()}
    try:
        try:
            await _unless_ended(all_run.wait(), hosts.values())
        except _EndedError:
            # Its error is raised below, when the others have stopped.
            pass
        else:
            yield running
    finally:
        leave.set()
        for name, task in hosts.items():
            if name not in running:
                task.cancel()
        await _ended(hosts)
        failures = [
            task.exception() for task in hosts.values() if task.done() and not task.cancelled()
        ]
    for failure in failures:
        if failure is not None:
            raise failure


async def while_all_work(
    running: Mapping[str, RunningService], work: Coroutine[None, None, Result]
) -> Result:
    """Do some work, unless a service stops meanwhile.

    Raises:
        DemoError: A service stopped; the message says which and why.
    """
    try:
        return await _unless_ended(work, [service.consuming for service in running.values()])
    except _EndedError:
        failures = [failure for service in running.values() if (failure := service.failure())]
        raise (
            failures[0] if failures else DemoError("a service stopped before the run was over")
        ) from None


async def _ended(hosts: Mapping[str, asyncio.Task[None]]) -> None:
    """Wait for all to stop; cancel those that take too long, such as without a broker."""
    _, late = await asyncio.wait(hosts.values(), timeout=_STOP_S)
    if late:
        names = ", ".join(name for name, task in hosts.items() if task in late)
        _logger.warning("cancelled after %g s without stopping: %s", _STOP_S, names)
        for task in late:
            task.cancel()
        await asyncio.wait(late, timeout=_STOP_S)


class _EndedError(Exception):
    """A task ended that should still be running."""


async def _unless_ended(
    work: Coroutine[None, None, Result], others: Collection[asyncio.Task[None]]
) -> Result:
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({working, *others}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise _EndedError
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
