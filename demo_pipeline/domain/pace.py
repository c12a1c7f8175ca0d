"""How fast the shop runs on this machine; deadlines stretch with it.

A deadline in seconds is a guess about the machine. On a busy machine the guess is wrong, and a
healthy order is cancelled and refunded. So a run measures how long the answer to the first step of
a saga takes, which no scenario slows down. While answers come within `USUAL_S` seconds, deadlines
are unchanged. When answers take longer, deadlines and the times of a scenario stretch in
proportion, up to `MOST` times, so that every scenario shows the same thing.
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
"""Answers within this many seconds do not stretch anything."""

MOST: Final = 6.0
"""The largest factor: beyond it, something is broken rather than slow."""

_RECENT: Final = 10


class Pace:
    """The pace of one run. Use it from one event loop.

    Args:
        most: The largest factor; 1 for a constant pace.
        clock: Returns the time, in seconds.
    """

    def __init__(self, most: float = MOST, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._clock = clock
        self._asked: dict[str, float] = {}
        self._took: deque[float] = deque(maxlen=_RECENT)

    def asked(self, saga_id: str) -> None:
        """Record that a saga has sent the command of its first step."""
        if self._most > 1:
            self._asked[saga_id] = self._clock()

    def answered(self, saga_id: str) -> None:
        """Record that a saga's first step has ended."""
        asked = self._asked.pop(saga_id, None)
        if asked is not None:
            self._took.append(self._clock() - asked)

    @property
    def factor(self) -> float:
        """How many times longer answers take than on an idle machine; at least 1.

        The slowest recent answer decides, or the oldest one that is still awaited.
        """
        oldest = next(iter(self._asked.values()), None)
        waiting = 0.0 if oldest is None else self._clock() - oldest
        return min(self._most, max(1.0, waiting / USUAL_S, *(s / USUAL_S for s in self._took)))

    def stretched(self, deadlines: Deadlines) -> Deadlines:
        """Return the deadlines, stretched by the factor."""
        factor = self.factor
        return replace(
            deadlines,
            saga_s=deadlines.saga_s * factor,
            step_s=deadlines.step_s * factor,
            compensation_s=deadlines.compensation_s * factor,
        )


def steady_pace() -> Pace:
    """Return a constant pace, which leaves deadlines unchanged."""
    return Pace(most=1.0)
