"""How the broker notifies its clients: producers of acknowledgements, consumers of changes."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiokafka.structs import RecordMetadata


class Acknowledgements:
    """Creates the futures that producers return, and resolves them in a later turn of the loop."""

    def __init__(self) -> None:
        self._holders = 0
        self._held: list[Callable[[], object]] = []

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold acknowledgements back inside the block, and release them at its end."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                held, self._held = self._held, []
                for release in held:
                    release()

    def announce(self, outcome: RecordMetadata | Exception) -> asyncio.Future[RecordMetadata]:
        """Return a future for an outcome: metadata resolves it, an exception fails it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[RecordMetadata] = loop.create_future()
        release = partial(loop.call_soon, _resolve, future, outcome)
        if self._holders:
            self._held.append(release)
        else:
            release()
        return future


class Wakeups:
    """Wakes all waiting tasks; each checks again for what it waits for."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def wake_all(self) -> None:
        """Wake all tasks that wait now."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the next `wake_all`.

        Args:
            timeout_s: The longest wait, in seconds; `None` for no limit.

        Returns:
            Whether the call came in time.
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


def _resolve(future: asyncio.Future[RecordMetadata], outcome: RecordMetadata | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
