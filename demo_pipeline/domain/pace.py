"""How fast the shop is on this machine at the moment, and how patient sagas are because of that.

A deadline in fixed seconds is a guess about the machine. On a busy one the guess is wrong, and a
healthy order is cancelled and refunded. So a run watches itself: how long the answer to the first
step of a saga takes, which no scenario slows down. While answers come within `USUAL_S` seconds,
deadlines are as they are written. When they take longer, deadlines and the times of a scenario
stretch in proportion, up to `MOST` times, so that every scenario tells the same story.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo_pipeline.domain.deadlines import Deadlines

USUAL_S: Final = 0.5
"""Up to so many seconds for an answer, a machine counts as quiet."""

MOST: Final = 6.0
"""How much longer everything may take at most: beyond that, something is broken, not slow."""

_RECENT: Final = 10


class Pace:
    """The pace of one run. For one event loop.

    Args:
        most: The largest factor; 1 for a pace that never changes.
        clock: Gives the time in seconds.
    """

    def __init__(self, most: float = MOST, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._clock = clock
        self._asked: dict[str, float] = {}
        self._took: deque[float] = deque(maxlen=_RECENT)

    def asked(self, saga_id: str) -> None:
        """Note that a saga has asked for its first step."""
        if self._most > 1:
            self._asked[saga_id] = self._clock()

    def answered(self, saga_id: str) -> None:
        """Note that a saga's first step has ended."""
        asked = self._asked.pop(saga_id, None)
        if asked is not None:
            self._took.append(self._clock() - asked)

    @property
    def factor(self) -> float:
        """How much longer things take than on a quiet machine: 1 or more.

        It is that of the slowest of the last answers, or of the answer that is waited for longest.
        """
        oldest = next(iter(self._asked.values()), None)
        waiting = 0.0 if oldest is None else self._clock() - oldest
        return min(self._most, max(1.0, waiting / USUAL_S, *(s / USUAL_S for s in self._took)))

    def stretched(self, deadlines: Deadlines) -> Deadlines:
        """Deadlines that are right for this pace."""
        factor = self.factor
        return replace(
            deadlines,
            saga_s=deadlines.saga_s * factor,
            step_s=deadlines.step_s * factor,
            undo_s=deadlines.undo_s * factor,
        )


def steady_pace() -> Pace:
    """A pace that never changes: deadlines are as they are written."""
    return Pace(most=1.0)
