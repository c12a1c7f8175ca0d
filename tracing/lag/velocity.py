"""How fast groups commit and logs grow, and when a group will have caught up.

One rate between two sweeps says little: consumers commit in steps, and producers send in bursts. So
all figures are regressions over the window, and a group catches up only if its lag falls by more
than twice the error of the regression: else the fall may be chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from tracing.lag.regression import Regression, covers, with_point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracing.kafka.topic_ids import Log


_CHANCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Velocity:
    """How fast a group moves on a partition, and how fast the partition's log grows.

    Attributes:
        inflow: New offsets per second.
        commits: Offsets per second that the group commits.
        moving: Whether the group committed in the newer half of the window.
        catch_up_s: Seconds until the group has no lag, if both go on like this; 0 if it keeps up,
            `math.inf` if it falls behind or does not catch up.
    """

    inflow: float
    commits: float
    moving: bool
    catch_up_s: float


class Point(NamedTuple):
    """A group on a partition at one moment.

    Attributes:
        at: The moment, in seconds; only differences count.
        committed: The committed offset.
        end: The log's end.
        lag: Number of uncommitted offsets; 0 if no record waits.
    """

    at: float
    committed: int
    end: int
    lag: int


def velocity(points: Sequence[Point], window_s: float) -> Velocity | None:
    """Return the velocity of a group on a partition; `None` while it is unknown.

    Args:
        points: The points of the window, in the order of time, at least one.
        window_s: The length of the window, in seconds.
    """
    if not covers(points, window_s):
        return None
    first, now = points[0], points[-1]
    if (first.committed, first.end) == (now.committed, now.end):
        # Offsets only grow, so nothing moved in between: no need for a regression.
        return Velocity(0.0, 0.0, False, inf if now.lag else 0.0)
    older = [point for point in points if point.at <= now.at - window_s / 2] or points[:1]
    moving = now.committed > older[-1].committed
    line = Regression([point.at for point in points])
    inflow = line.slope([point.end for point in points])
    commits = line.slope([point.committed for point in points])
    if not now.lag or now.committed >= older[-1].end:
        # As for the status: what half a window ago was in the partition is committed.
        catch_up_s = 0.0
    elif moving:
        lag = line.fit([point.lag for point in points])
        falls = lag.slope + _CHANCE * lag.error < 0
        catch_up_s = now.lag / -lag.slope if falls else inf
    else:
        catch_up_s = inf
    return Velocity(inflow, commits, moving, catch_up_s)


class Velocities:
    """The points of the window, by group and log. For one task.

    Args:
        window_s: The length of the window, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._points: dict[tuple[str, Log], tuple[Point, ...]] = {}

    def observe(self, group: str, log: Log, point: Point) -> Velocity | None:
        """Add a point and return the velocity; `None` while it is unknown."""
        points = self._points.get((group, log), ())
        # An operator set the offset back, or, without topic ids, the topic is a new one.
        if points and (point.end < points[-1].end or point.committed < points[-1].committed):
            points = ()
        points = self._points[group, log] = with_point(points, point, self._window_s)
        return velocity(points, self._window_s)

    def forget_before(self, moment: float) -> None:
        """Forget logs whose last point is older than a moment."""
        gone = [key for key, points in self._points.items() if points[-1].at < moment]
        for key in gone:
            del self._points[key]
