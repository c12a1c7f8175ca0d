"""A consumer's position in each partition, which passes offsets that hold no record.

The end of a transaction takes an offset of its own, an aborted transaction leaves records that are
never delivered, and compaction leaves gaps. A group that commits only what it handled would never
pass them (KIP-98).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tracing.core.log import EventLog, described

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from aiokafka.structs import TopicPartition

_logger = EventLog("tracing")

# A position is unknown for a moment after an assignment; do not wait for it.
_READ_S: Final = 0.2


class Positions:
    """The positions of one consumer. For one event loop.

    A consumer's position moves only when a poll returns, and its records are dispatched in the same
    step: so between polls everything before the position has been dispatched.

    Attributes:
        trusted: Whether the last poll succeeded. A poll that was interrupted or failed may have
            moved a position past records that it did not return.
    """

    def __init__(self, client: Any) -> None:
        self.trusted = False
        self._client = client
        self._first: dict[TopicPartition, int] = {}
        self._noting: asyncio.Task[None] | None = None

    async def note(self) -> None:
        """Remember the partitions' first positions; call it before the first poll moves them."""
        await self.read(self._first.setdefault, without=self._first)

    def note_soon(self) -> None:
        """Begin `note` without waiting for it: a fetch takes longer."""
        self._noting = asyncio.create_task(self.note(), name="first positions")

    def forget(self, partitions: Iterable[TopicPartition] | None) -> None:
        """Forget partitions; with `None`, all of them."""
        for tp in tuple(self._first) if partitions is None else partitions:
            self._first.pop(tp, None)

    def first(self) -> Mapping[TopicPartition, int]:
        """Return the known first positions of partitions."""
        return self._first

    def moved(self, tp: TopicPartition, position: int) -> bool:
        """Whether a partition has moved since it was first seen."""
        return position > self._first.setdefault(tp, position)

    async def read(
        self, take: Callable[[TopicPartition, int], object], *, without: Container[TopicPartition]
    ) -> None:
        """Read the positions that are known at once or after a short time.

        Args:
            take: Called with each position, in the step that reads it.
            without: Partitions to leave out.
        """
        try:
            async with asyncio.timeout(_READ_S):
                for tp in self._client.assignment():
                    if tp not in without:
                        take(tp, await self._client.position(tp))
        except Exception as error:
            # Unassigned meanwhile, or not known yet; a later call reads it.
            _logger.debug("positions are not known: %s", described(error))
