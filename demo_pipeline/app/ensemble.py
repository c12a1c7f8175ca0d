"""Several services in one process: started together, watched together, stopped together."""

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

_logger = logging.getLogger(__name__)
# Longer than a service takes to finish what it has begun, each step with its own bound, on a
# machine that is busy.
_STOP_S: Final = 60.0


@asynccontextmanager
async def together(
    services: Mapping[str, AbstractAsyncContextManager[RunningService]],
) -> AsyncIterator[Mapping[str, RunningService]]:
    """Start services side by side, because joining a group takes seconds, and stop them likewise.

    Raises:
        Exception: What one of them raised that could not start or stop.
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
            # What ended it is raised below, when the others have stopped.
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
    """Do some work, unless a service stops by itself meanwhile.

    Raises:
        DemoError: One did; the message says which and why.
    """
    try:
        return await _unless_ended(work, [service.consuming for service in running.values()])
    except _EndedError:
        failures = [failure for service in running.values() if (failure := service.failure())]
        raise (failures[0] if failures else DemoError("a service stopped too early")) from None


async def _ended(hosts: Mapping[str, asyncio.Task[None]]) -> None:
    """Wait for all to stop; those that cannot, as without a broker, are cut off."""
    _, late = await asyncio.wait(hosts.values(), timeout=_STOP_S)
    if late:
        names = ", ".join(name for name, task in hosts.items() if task in late)
        _logger.warning("%s did not stop within %g s and were cut off", names, _STOP_S)
        for task in late:
            task.cancel()
        await asyncio.wait(late, timeout=_STOP_S)


class _EndedError(Exception):
    """Something that should go on has ended."""


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
