"""Records that a service hands to its relay after their commit, so that it need not read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracing.sql.outbox_rows import StoredRecord


class HandOver:
    """Decides whether records come next, or have to be read. For one event loop.

    SQLite has one writer at a time and numbers the rows of an outbox without gaps, in the order of
    their commits. So if the relay has every record up to a number, those that follow that number
    without a gap can be sent at once: none of their keys has an earlier record that is unknown.
    After any doubt, the relay reads the outbox, which has everything.

    Args:
        most: How many records are kept until the relay takes them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._offered: list[StoredRecord] = []
        self._highest: int | None = None
        self._complete = False

    def offer(self, records: Sequence[StoredRecord]) -> bool:
        """Keep committed records for the next `take`; return whether there was room."""
        if len(self._offered) + len(records) > self._most:
            self._offered.clear()
            return False
        if not self._offered or records[-1].sequence > self._offered[-1].sequence:
            self._offered += records
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
        highest = self._highest
        if highest is not None:
            # Seen by a read meanwhile, or offered by each of several that shared a transaction.
            offered = [each for each in offered if each.sequence > highest]
        if not offered:
            return (), False
        if behind or not self._complete or highest is None or len(offered) > room:
            return (), True
        expected = range(highest + 1, highest + 1 + len(offered))
        if [each.sequence for each in offered] != list(expected):
            return (), True
        self._highest = expected[-1]
        return offered, False
