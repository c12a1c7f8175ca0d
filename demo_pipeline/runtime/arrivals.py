"""Waiting until a message was handled: woken by the consumer, without holding a connection."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator

Read = TypeVar("Read")

# Another replica may have handled it, which wakes no waiter here.
_RECHECK_S: Final = 1.0
_MAX_WAITERS: Final = 64


@dataclass(frozen=True, slots=True)
class Awaited(Generic[Read]):
    """What was read, and whether waiting for it was possible.

    Attributes:
        result: What was read last.
        waited: Whether it would have been waited for; not where too many others wait.
    """

    result: Read
    waited: bool


class Arrivals:
    """Wakes those that wait for an order, or for a place in the log. For one event loop.

    Args:
        most: How many may wait at once.
    """

    def __init__(self, most: int = _MAX_WAITERS) -> None:
        self._most = most
        self._waiting: dict[asyncio.Event, Hashable] = {}
        self._closed = False

    def __len__(self) -> int:
        """Return how many wait now."""
        return len(self._waiting)

    def announce(self, *keys: Hashable) -> None:
        """Wake those that wait for one of these: after the commit, so that they see its effect."""
        for woken, key in self._waiting.items():
            if key in keys:
                woken.set()

    def close(self) -> None:
        """Let all that wait read once more and end: the service stops, and nothing will arrive."""
        self._closed = True
        for woken in self._waiting:
            woken.set()

    async def until(
        self,
        settled: Callable[[Read], bool],
        read: Callable[[], Awaitable[Read]],
        *,
        key: Hashable,
        wait_s: float,
    ) -> Awaited[Read]:
        """Read until the result is settled, or the time is over.

        Args:
            settled: Whether a result is the final one.
            read: Reads, each time with a connection of its own.
            key: What is waited for; see `announce`.
            wait_s: How long to wait at most; 0 reads once.
        """
        with self._registered(key) as woken:
            until = monotonic() + (wait_s if woken else 0)
            while True:
                result = await read()
                left_s = until - monotonic()
                if woken is None or self._closed or left_s <= 0 or settled(result):
                    return Awaited(result, wait_s > 0 and woken is not None)
                try:
                    async with asyncio.timeout(min(left_s, _RECHECK_S)):
                        await woken.wait()
                except TimeoutError:
                    pass
                woken.clear()

    @contextmanager
    def _registered(self, key: Hashable) -> Iterator[asyncio.Event | None]:
        """Register before the first read, so that no announcement is missed; `None` if full."""
        if len(self._waiting) >= self._most:
            yield None
            return
        woken = asyncio.Event()
        self._waiting[woken] = key
        try:
            yield woken
        finally:
            del self._waiting[woken]
