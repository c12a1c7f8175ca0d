"""How far the consumers of this process have caught up, as gauges."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracing.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracing.messaging.catch_up import LaneCatchUp
    from tracing.metrics.instruments import Metrics
    from tracing.metrics.metric import Labels, LabelSet

_WINDOW_S: Final = 30.0


class CatchingUp:
    """The lanes of one topic that one consumer is catching up with.

    Written by the consumer's event loop, and read by the thread that collects metrics.

    Args:
        labels: The labels of its series.

    Attributes:
        labels: The same.
        began: When it began, by `time.monotonic()`.
    """

    __slots__ = ("__weakref__", "_before", "_lanes", "_points", "began", "labels")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.began = 0.0
        # Records of lanes that are no longer in it.
        self._before = 0
        self._lanes: dict[object, LaneCatchUp] = {}
        self._points: deque[tuple[float, int]] = deque()

    @property
    def handled(self) -> int:
        """Number of records since it began."""
        return self._before + sum(lane.handled for lane in tuple(self._lanes.values()))

    def begin(self, lane: LaneCatchUp) -> bool:
        """Add a lane; return whether it is the first one."""
        first = not self._lanes
        if first:
            self.began, self._before = monotonic(), 0
            self._points = deque([(self.began, 0)])
        self._lanes[lane.place] = lane
        return first

    def end(self, lane: LaneCatchUp) -> bool:
        """Remove a lane; return whether it was the last one."""
        if self._lanes.pop(lane.place, None) is not None:
            self._before += lane.handled
        return not self._lanes

    def remaining(self) -> int:
        """Return the number of records that are left."""
        return sum(lane.remaining for lane in tuple(self._lanes.values()))

    def rate(self) -> float:
        """Return the records per second over the last half minute; 0 once it has caught up."""
        if not self._lanes:
            return 0.0
        now, points, total = monotonic(), self._points, self.handled
        points.append((now, total))
        while len(points) > 2 and points[1][0] <= now - _WINDOW_S:  # noqa: PLR2004 - two ends
            points.popleft()
        began, counted = points[0]
        return (total - counted) / (now - began) if now > began else 0.0


class _Gauges:
    """The gauges on one meter provider."""

    def __init__(self, metrics: Metrics) -> None:
        # Never changed, but replaced: another thread reads it.
        self._topics: tuple[weakref.ref[CatchingUp], ...] = ()
        metrics.observe(catalog.CATCH_UP_REMAINING, self._remaining)
        metrics.observe(catalog.CATCH_UP_RATE, self._rate)

    def add(self, topic: CatchingUp) -> None:
        """Report a topic, once, as long as it exists."""
        others = (each for each in self._topics if each() not in {None, topic})
        self._topics = (*others, weakref.ref(topic))

    def _all(self) -> list[CatchingUp]:
        return [topic for each in self._topics if (topic := each()) is not None]

    def _remaining(self) -> Iterable[tuple[Labels, float]]:
        return _summed((topic.labels, topic.remaining()) for topic in self._all())

    def _rate(self) -> Iterable[tuple[Labels, float]]:
        return _summed((topic.labels, topic.rate()) for topic in self._all())


def _summed(values: Iterable[tuple[Labels, float]]) -> list[tuple[Labels, float]]:
    """Add up the values of the consumers of one group."""
    sums: dict[LabelSet, float] = {}
    for labels, value in values:
        key = frozenset(labels.items())
        sums[key] = sums.get(key, 0.0) + value
    return [(dict(key), value) for key, value in sums.items()]


_gauges: weakref.WeakKeyDictionary[Metrics, _Gauges] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _free_lock() -> None:
    global _lock  # noqa: PLW0603 - a thread that the child lacks may have held it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_free_lock)


def report(metrics: Metrics, topic: CatchingUp) -> None:
    """Report a topic from now on, as long as its consumer exists."""
    with _lock:
        gauges = _gauges.get(metrics)
        if gauges is None:
            gauges = _gauges[metrics] = _Gauges(metrics)
        gauges.add(topic)
