"""A consumer belongs to one loop at a time, and that loop ends before the consumer closes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog, described

if TYPE_CHECKING:
    from tracing.messaging.reading import ConsumerPort

_logger = EventLog("tracing")

_CLOSE_S: Final = 1.0

# The clients that a loop reads, by identity: a client may be wrapped more than once.
_read: set[int] = set()
_closing: set[asyncio.Future[None]] = set()


def begin_reading(client: object) -> None:
    """Be the only loop that reads a client, until `end_reading`.

    Raises:
        RuntimeError: Another loop reads it.
    """
    if id(client) in _read:
        raise RuntimeError(
            "another consume() reads this consumer; a second one would take its records away: "
            "make a second consumer, or raise `concurrency`"
        )
    _read.add(id(client))


def end_reading(client: object) -> None:
    """Let another loop read a client."""
    _read.discard(id(client))


class Closing:
    """The end of a consumer, where its application asks for that beside a loop.

    Args:
        consumer: The consumer.
    """

    def __init__(self, consumer: ConsumerPort[Any]) -> None:
        self._consumer = consumer
        self._wanted = False
        self._closed: asyncio.Future[None] | None = None
        self._left = asyncio.Event()

    async def ask(self, *, inside: bool) -> None:
        """Close once the loop has left; return after that.

        Args:
            inside: Whether a handler or a listener asks, for which the loop or the rebalance waits:
                then it returns at once.
        """
        self._wanted = True
        if inside:
            return
        await self._left.wait()
        await asyncio.shield(self._begin())

    def loop_left(self) -> None:
        """Begin to close if that is wanted; the consumer's methods are its own by now."""
        if self._wanted:
            self._begin()
        self._left.set()

    async def wait(self) -> None:
        """Wait for the end of what was begun, but not for long."""
        if self._closed is not None:
            await asyncio.wait((self._closed,), timeout=_CLOSE_S)

    def _begin(self) -> asyncio.Future[None]:
        # Without a broker this takes as long as its requests do; the loop does not wait for it.
        if self._closed is None:
            self._closed = asyncio.ensure_future(self._consumer.close())
            _closing.add(self._closed)
            self._closed.add_done_callback(_ended)
        return self._closed


def _ended(task: asyncio.Future[None]) -> None:
    _closing.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.warning("closing the consumer after consume() failed: %s", described(error))
