"""Places for messages in progress: a loop with limited concurrency has so many."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Places:
    """A number of places, taken in the order of asking. For one event loop.

    As a semaphore, but a place that is free is taken without a coroutine.

    Args:
        number: How many there are.
    """

    __slots__ = ("_free", "_waiting")

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place at once; return false if none is free, or if others wait for one.

        Those that wait come first: otherwise a busy lane could keep its place for ever.
        """
        if self._free <= 0 or self._waiting:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Take a place as soon as it is this caller's turn.

        A caller that is cancelled has taken none.
        """
        if self.take():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # It was this caller's turn already.
                self.give_back()
            else:
                with suppress(ValueError):
                    # `give_back` has passed it over.
                    self._waiting.remove(turn)
            raise

    def give_back(self) -> None:
        """Give a place to the caller that has waited longest, if one waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            # One that was cancelled is about to leave.
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
