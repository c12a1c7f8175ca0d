"""How long orders usually stay in each state, by the latest ones: the figures for customers."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from statistics import median
from time import time
from typing import TYPE_CHECKING, Final

from demo_pipeline.domain.order_states import END_STATES, STAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo_pipeline.domain.order_states import OrderState

_RECENT: Final = 100
_MAX_AGE_S: Final = 600.0
_MAX_UNDER_WAY: Final = 10_000


@dataclass(slots=True)
class StateDurations:
    """Durations of states, from the transitions that one process sees. In memory, and bounded.

    After a start, nothing is usual until orders have left a state again.

    Attributes:
        clock: Returns unix seconds.
    """

    clock: Callable[[], float] = time
    _under_way: OrderedDict[str, tuple[OrderState, float]] = field(default_factory=OrderedDict)
    # By state: when an order left it, and after how long.
    _recent: dict[OrderState, deque[tuple[float, float]]] = field(default_factory=dict)

    def moved(self, order_id: str, state: OrderState, at_s: float) -> None:
        """Note that an order came into a state, at unix seconds; older states change nothing."""
        before = self._under_way.get(order_id)
        if before is not None:
            last, since_s = before
            if STAGE[state] <= STAGE[last]:
                return
            recent = self._recent.setdefault(last, deque(maxlen=_RECENT))
            recent.append((at_s, max(0.0, at_s - since_s)))
            del self._under_way[order_id]
        if state in END_STATES:
            return
        self._under_way[order_id] = (state, at_s)
        if len(self._under_way) > _MAX_UNDER_WAY:
            self._under_way.popitem(last=False)

    def usual_s(self, state: OrderState) -> float | None:
        """Return the median of the recent durations of a state; `None` if there are none."""
        oldest_s = self.clock() - _MAX_AGE_S
        recent = [duration for at_s, duration in self._recent.get(state, ()) if at_s >= oldest_s]
        return median(recent) if recent else None

    def so_far_s(self, order_id: str, state: OrderState) -> float | None:
        """Return how long an order has been in its state; `None` if this process did not see it."""
        last, since_s = self._under_way.get(order_id, (None, 0.0))
        return max(0.0, self.clock() - since_s) if last is state else None
