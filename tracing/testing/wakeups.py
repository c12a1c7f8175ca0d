"""Lets tasks wait until something happened on the broker."""

from __future__ import annotations

import asyncio


class Wakeups:
    """Wakes everyone who waits; whoever is woken looks again for what it needs."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def wake_all(self) -> None:
        """Wake all who wait now."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the next `wake_all`.

        Args:
            timeout_s: For how long at most, in seconds; `None` waits without end.

        Returns:
            Whether it came in time.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await asyncio.wait_for(waiter, timeout_s)
        except TimeoutError:
            return False
        else:
            return True
        finally:
            self._waiting.discard(waiter)
