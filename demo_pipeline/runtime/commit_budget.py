"""How often the busy database of a service commits: the budget that its pieces of work share."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SAVED: Final = 8.0
"""How many transactions a quiet database saves up: more than an order needs of any service."""

_LATE_S: Final = 0.5


class CommitBudget:
    """Transactions per second, saved up while few are needed: a token bucket.

    A quiet database has saved enough for all transactions of an order, so a lone order waits for
    nothing. A busy one makes `per_s` transactions a second, and what arrives between two of them
    shares the next one.

    Args:
        per_s: How many transactions a second a busy database makes.
        saved: How many a quiet one saves up.
        now: Returns the time, in seconds.
    """

    def __init__(
        self, per_s: float, *, saved: float = SAVED, now: Callable[[], float] = monotonic
    ) -> None:
        self._per_s = per_s
        self._saved = saved
        self._now = now
        self._left = saved
        self._at = now()

    def wait_s(self) -> float:
        """Return the seconds until a transaction may begin; 0 if one may begin now."""
        return max(0.0, (1 - self._refilled()) / self._per_s)

    def spend(self) -> None:
        """Take a transaction from the budget, if there is one; some do not wait for it."""
        self._left = max(0.0, self._refilled() - 1)

    def _refilled(self) -> float:
        now = self._now()
        self._left = min(self._saved, self._left + max(0.0, now - self._at) * self._per_s)
        self._at = now
        return self._left


def is_late(timestamp_ms: float, factor: float = 1.0) -> bool:
    """Return whether a record is behind already, and must not wait for others as well.

    So what has piled up is worked off as fast as the database allows, and waiting for others never
    makes a partition fall behind.

    Args:
        timestamp_ms: The record's timestamp, unix ms.
        factor: How much slower than usual the shop runs; see `Pace`.
    """
    age_s = time() - timestamp_ms / 1000
    # A record from the future shows that clocks differ: nothing is known of its age.
    return not 0 <= age_s < _LATE_S * factor
