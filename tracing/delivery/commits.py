"""Settle what a loop has handled, one settlement at a time, within a time limit."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from tracing.core.log import EventLog, described

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine

    from tracing.messaging.reading import Settlement
    from tracing.messaging.transport import Lane, Transport

_logger = EventLog("tracing")


class Commits:
    """Commits what workers have handled. For one event loop.

    Two commits never overlap: otherwise the older one could end last and set the group back.

    Args:
        settlement: How messages are settled.
        transport: The kind of broker.
        interval_s: Least number of seconds between two periodic commits.
        failed: Called with the fatal error of a periodic commit.
    """

    def __init__(
        self,
        settlement: Settlement,
        transport: Transport,
        interval_s: float,
        failed: Callable[[Exception], None],
    ) -> None:
        self._settlement = settlement
        self._transport = transport
        self._interval_s = interval_s
        self._failed = failed
        self._one_at_a_time = asyncio.Lock()
        self._periodic: asyncio.Task[None] | None = None
        self._began = monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for the next periodic commit."""
        return self._periodic is None and monotonic() - self._began >= self._interval_s

    def begin(self, lanes: Collection[Lane]) -> None:
        """Begin a periodic commit if there is anything to commit; do not wait for it."""
        self._began = monotonic()
        if self._settlement.pending(lanes):
            self._periodic = asyncio.create_task(self.commit(lanes), name="periodic commit")
            self._periodic.add_done_callback(self._ended)

    async def commit(self, lanes: Collection[Lane]) -> None:
        """Commit; if the lanes have moved meanwhile, their messages are delivered again.

        Raises:
            Exception: The commit failed permanently, for another reason.
        """
        try:
            await self.commit_by(self._settlement.settle, lanes)
        except Exception as error:
            if not self._settlement.comes_back(error):
                raise
            _logger.warning(
                "commit of %s failed (%s); records handled since the last commit may be delivered "
                "again",
                self._transport.lane_names(lanes),
                type(error).__name__,
            )

    async def commit_by(
        self,
        settle: Callable[[Collection[Lane]], Awaitable[None]],
        lanes: Collection[Lane],
    ) -> None:
        """Commit with this function, and raise what it raises."""
        async with self._one_at_a_time:
            await settle(lanes)

    async def commit_in_time(self, lanes: Collection[Lane], timeout_s: float) -> None:
        """Commit within a time limit: without a broker, a client may retry forever.

        Raises:
            Exception: As `commit`.
        """
        if self._periodic is not None:
            # It may never be answered; the broker receives it before the last one anyway.
            self._periodic.cancel()
        if not await in_time(self.commit(lanes), timeout_s):
            _logger.warning(
                "the last commit did not succeed within %g s; records handled since the one before "
                "will be delivered again",
                timeout_s,
            )

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._periodic = None
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._failed(error)


async def in_time(work: Coroutine[Any, Any, object], timeout_s: float) -> bool:
    """Wait for work within a time limit, even if it ignores its cancellation.

    Returns:
        Whether it succeeded.

    Raises:
        Exception: What it raised.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=timeout_s)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(_let_go)
    # A client that is closed cancels its pending requests; that is not our own cancellation.
    if not task.done() or task.cancelled():
        return False
    task.result()
    return True


def _let_go(task: asyncio.Future[object]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.debug("what was not waited for any longer ended with %s", described(error))
