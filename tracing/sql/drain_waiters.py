"""Waking a relay that pauses, and waiting for a relay to empty its outbox."""

from __future__ import annotations

import asyncio

Waiting = tuple[asyncio.Future[bool], ...]


class Wakeup:
    """Ends a relay's pauses. For one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """End the current pause, or skip the next one."""
        self._event.set()

    def clear(self) -> None:
        """Drop a wake-up that the next read of the outbox serves."""
        self._event.clear()

    async def pause(self, delay_s: float) -> None:
        """Wait for a wake-up, for `delay_s` seconds at most."""
        try:
            async with asyncio.timeout(delay_s):
                await self._event.wait()
        except TimeoutError:
            pass


class DrainWaiters:
    """Callers that wait until all records of that moment are sent. For one event loop."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[bool]] = []
        self._ended = False

    def waiting(self) -> Waiting:
        """Return the current callers; a read of the outbox that begins now answers them."""
        return tuple(self._waiting)

    def settle(self, waiting: Waiting, *, empty: bool) -> None:
        """Answer some callers."""
        for answer in waiting:
            if not answer.done():
                answer.set_result(empty)

    def end(self) -> None:
        """Answer all present and future callers that nothing more will be sent."""
        self._ended = True
        self.settle(self.waiting(), empty=False)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the answer; return `False` when there is none in time."""
        if self._ended:
            return False
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            return False
        finally:
            self._waiting.remove(answer)
