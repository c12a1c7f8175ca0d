"""Who waits for an outbox to be empty."""

from __future__ import annotations

import asyncio

Waiting = tuple[asyncio.Future[bool], ...]


class Drains:
    """Those who wait until all has been sent that was there when they came. For one event loop."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[bool]] = []
        self._ended = False

    def waiting(self) -> Waiting:
        """Those who are here now: a read that begins from now on is an answer to them."""
        return tuple(self._waiting)

    def settle(self, waiting: Waiting, *, empty: bool) -> None:
        """Answer some of them."""
        for each in waiting:
            if not each.done():
                each.set_result(empty)

    def end(self) -> None:
        """Answer all of them, and all to come, that nothing more will be sent."""
        self._ended = True
        self.settle(self.waiting(), empty=False)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the answer; `False` when there is none in time."""
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
