"""Records that a service hands to its relay after their commit, so that it need not read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracing.sql.outbox_rows import AddedRecords, StoredRecord


class HandOver:
    """Decides whether records come next, or have to be read. For one event loop.

    SQLite has one writer at a time and numbers the rows of an outbox without gaps, in the order of
    their commits. So if the relay has every record up to a number, those that follow that number
    without a gap can be sent at once: none of their keys has an earlier record that is unknown.
    After any doubt, the relay reads the outbox, which has everything.

    Args:
        outbox: The relay's outbox; see `place_of`.
        most: How many records are kept until the relay takes them.
    """

    def __init__(self, outbox: tuple[object, str], most: int) -> None:
        self._outbox = outbox
        self._most = most
        self._offered: list[StoredRecord] = []
        self._last: AddedRecords | None = None
        self._highest: int | None = None
        self._complete = False

    def offer(self, added: AddedRecords) -> bool:
        """Keep committed records for the next `take`; return whether they need not be read."""
        if added is self._last:
            # Several pieces of work that shared a transaction hand over the same.
            return True
        if not added.records or added.outbox != self._outbox:
            return False
        if len(self._offered) + len(added.records) > self._most:
            self._offered.clear()
            return False
        self._last = added
        self._offered += added.records
        return True

    def was_read(self, highest: int, *, complete: bool) -> None:
        """Note what a read returned.

        Args:
            highest: The highest sequence of a record; 0 without any.
            complete: Whether the read left nothing in the outbox but what is being sent.
        """
        self._complete = complete
        if highest:
            self._highest = max(highest, self._highest or 0)

    def take(self, room: int, *, behind: bool) -> tuple[Sequence[StoredRecord], bool]:
        """Return the offered records that come next, and whether the outbox has to be read.

        Args:
            room: How many records may be taken.
            behind: Whether the outbox has records that were left there.
        """
        offered, self._offered = self._offered, []
        if not offered:
            return (), False
        highest = self._highest
        if behind or not self._complete or highest is None or len(offered) > room:
            return (), True
        expected = range(highest + 1, highest + 1 + len(offered))
        if [each.sequence for each in offered] != list(expected):
            return (), True
        self._highest = expected[-1]
        return offered, False
