"""Linear regression over the recent points of a series, in bounded memory."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST: Final = 3
# More points in a window make a regression slower, not better.
_MOST: Final = 64


class Timed(Protocol):
    """A point in time; `at` is in seconds, and only differences count."""

    @property
    def at(self) -> float: ...  # noqa: D102 - above


_Point = TypeVar("_Point", bound=Timed)


class Fit(NamedTuple):
    """The line of least squares through points.

    Attributes:
        slope: Its slope, per second.
        error: The standard error of the slope; 0 if the points lie on the line.
    """

    slope: float
    error: float


class Regression:
    """Lines of least squares through series of values at the same moments.

    Raises:
        ValueError: There are fewer than three moments, or all are the same.
    """

    def __init__(self, moments: Sequence[float]) -> None:
        if len(moments) < _LEAST or moments[0] == moments[-1]:
            raise ValueError("a regression needs at least three points, at different moments")
        first = moments[0]
        mean = sum([at - first for at in moments]) / len(moments)
        self._moments = [at - first - mean for at in moments]
        self._spread = sum([at * at for at in self._moments])

    def slope(self, values: Sequence[int]) -> float:
        """Return the slope of the line, per second."""
        # Relative to the first value: offsets are large, and their differences small.
        first = values[0]
        return (
            sum([at * (value - first) for at, value in zip(self._moments, values, strict=True)])
            / self._spread
        )

    def fit(self, values: Sequence[int]) -> Fit:
        """Return the slope and its error."""
        slope, first = self.slope(values), values[0]
        mean = sum([value - first for value in values]) / len(values)
        rests = [
            value - first - mean - slope * at
            for at, value in zip(self._moments, values, strict=True)
        ]
        square = sum([rest * rest for rest in rests]) / (len(values) - 2)
        return Fit(slope, sqrt(square / self._spread))


def with_point(points: Sequence[_Point], new: _Point, window_s: float) -> tuple[_Point, ...]:
    """Return the points of a window with a new one at its end: at most 70.

    Args:
        points: The result for the previous point.
        new: Later than all others.
        window_s: The length of the window, in seconds.
    """
    recent = [point for point in points if point.at >= new.at - window_s]
    if len(recent) > 1 and new.at - recent[-2].at < window_s / _MOST:
        recent[-1] = new
    else:
        recent.append(new)
    return tuple(recent)


def covers(points: Sequence[Timed], window_s: float) -> bool:
    """Return whether points suffice for a regression, and span at least half of a window."""
    return len(points) >= _LEAST and points[-1].at - points[0].at >= window_s / 2
