"""A consumer's position in each partition, which shows the offsets passed that hold no record.

The end of a transaction takes an offset of its own, an aborted transaction leaves records that are
never delivered, and compaction leaves gaps. A group that commits only what it handled would stay
in front of them (KIP-98).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog, described

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from aiokafka.structs import TopicPartition

_logger = EventLog("tracing")

# A position is unknown for a moment after an assignment; it is not worth waiting for.
_READ_S: Final = 0.2


class Positions:
    """The positions of one consumer. For one event loop.

    A consumer's position moves only as a poll returns, and what the poll brought is handed out in
    the same step: so between polls everything before the position is handed out.

    Attributes:
        trusted: Whether the last poll ended well. One that was interrupted or failed may have
            moved a position past records that it did not return.
    """

    def __init__(self, client: Any) -> None:
        self.trusted = False
        self._client = client
        self._first: dict[TopicPartition, int] = {}
        self._noting: asyncio.Task[None] | None = None

    async def note(self) -> None:
        """Remember where partitions begin; to be done before the first poll moves them."""
        await self.read(self._first.setdefault, without=self._first)

    def note_soon(self) -> None:
        """As `note`, without waiting for it: a fetch takes longer than that."""
        self._noting = asyncio.create_task(self.note(), name="first positions")

    def forget(self, partitions: Iterable[TopicPartition] | None) -> None:
        """Forget partitions, all with `None`."""
        for tp in tuple(self._first) if partitions is None else partitions:
            self._first.pop(tp, None)

    def first(self) -> Mapping[TopicPartition, int]:
        """Return where partitions began, as far as that is known."""
        return self._first

    def moved(self, tp: TopicPartition, position: int) -> bool:
        """Whether a partition has moved since it was first seen."""
        return position > self._first.setdefault(tp, position)

    async def read(
        self, take: Callable[[TopicPartition, int], object], *, without: Container[TopicPartition]
    ) -> None:
        """Read the positions that are known at once, or nearly so.

        Args:
            take: Called with each, in the same step in which it was read.
            without: Partitions to leave out.
        """
        try:
            async with asyncio.timeout(_READ_S):
                for tp in self._client.assignment():
                    if tp not in without:
                        take(tp, await self._client.position(tp))
        except Exception as error:
            # Unassigned meanwhile, or not known yet; the next call reads it.
            _logger.debug("positions are not known: %s", described(error))
