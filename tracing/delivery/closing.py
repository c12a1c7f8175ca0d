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
    """Register as the only loop that reads a client, until `end_reading`.

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
    """Closes a consumer when its application asks for that while a loop reads it.

    Args:
        consumer: The consumer.
    """

    def __init__(self, consumer: ConsumerPort[Any]) -> None:
        self._consumer = consumer
        self._wanted = False
        self._closed: asyncio.Future[None] | None = None
        self._left = asyncio.Event()

    async def ask(self, *, inside: bool) -> None:
        """Close the consumer once the loop has ended, and return after that.

        Args:
            inside: Whether the caller is a handler or a listener, which the loop or the rebalance
                waits for: then return at once.
        """
        self._wanted = True
        if inside:
            return
        await self._left.wait()
        await asyncio.shield(self._begin())

    def loop_left(self) -> None:
        """Begin to close if asked to; the consumer's methods no longer reach the loop."""
        if self._wanted:
            self._begin()
        self._left.set()

    async def wait(self) -> None:
        """Wait a short time for the close, if it has begun."""
        if self._closed is not None:
            await asyncio.wait((self._closed,), timeout=_CLOSE_S)

    def _begin(self) -> asyncio.Future[None]:
        # Without a broker this takes as long as the client's requests; the loop does not wait.
        if self._closed is None:
            self._closed = asyncio.ensure_future(self._consumer.close())
            _closing.add(self._closed)
            self._closed.add_done_callback(_ended)
        return self._closed


def _ended(task: asyncio.Future[None]) -> None:
    _closing.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.warning("closing the consumer after consume() failed: %s", described(error))
