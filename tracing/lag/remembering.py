"""Records that were read once need not be read at each sweep while nobody commits."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.lag.batches import First
    from tracing.lag.oldest import OldestReader, Place

# Compaction can take a record away.
_TRUSTED_S: Final = 60.0


class _Read(NamedTuple):
    first: First | None
    end: int
    read_at: float


class RememberingReader:
    """Reads first records, and remembers them for a minute. For one task."""

    def __init__(self, reader: OldestReader) -> None:
        self._reader = reader
        self._read: dict[Place, _Read] = {}

    async def read(self, places: Mapping[Place, int], *, until: float) -> dict[Place, First | None]:
        """Find the first record of each place.

        Args:
            places: Where to look, and where that log ends.
            until: When to give up, by `time.monotonic()`.

        Returns:
            As `OldestReader.read` does.
        """
        now = monotonic()
        remembered = {
            place: read
            for place, end in places.items()
            if (read := self._read.get(place)) is not None
            and now - read.read_at < _TRUSTED_S
            # Where there was no record, one may have come since.
            and (read.first is not None or read.end == end)
        }
        fresh = await self._reader.read(places.keys() - remembered.keys(), until=until)
        self._read = remembered | {
            place: _Read(first, places[place], now)
            for place, first in fresh.items()
            if first is None or first.settled
        }
        return fresh | {place: read.first for place, read in self._read.items()}
