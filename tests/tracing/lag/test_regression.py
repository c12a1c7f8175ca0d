"""Lines through points, and the points of a window."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracing.lag.regression import Fit, Regression, covers, with_point


class At(NamedTuple):
    at: float
    value: int = 0


def fit(*values: int, at: float = 0.0) -> Fit:
    """Return the line through values, one per second."""
    return Regression([number + at for number in range(len(values))]).fit(values)


def test_points_on_a_line_have_its_slope_and_no_error() -> None:
    assert (5.0, 0.0) == fit(*(5 * at + 10**12 for at in range(7)))


def test_the_error_says_how_far_the_points_are_from_the_line() -> None:
    slope, error = fit(0, 2, 0, 2, 0)

    assert 0 == slope
    # The squares of the residues add up to 4.8, and those of the moments to 10.
    assert (4.8 / 3 / 10) ** 0.5 == pytest.approx(error)


@pytest.mark.parametrize("moments", [[], [0, 1], [1, 1, 1]])
def test_too_few_moments_have_no_line(moments: list[float]) -> None:
    with pytest.raises(ValueError, match="at least three points"):
        Regression(moments)


@given(
    st.lists(st.integers(0, 1000), min_size=3, max_size=20),
    st.integers(0, 10**14),
    st.floats(0, 2e9),
)
def test_only_differences_count(values: list[int], more: int, later: float) -> None:
    assume(len(set(values)) > 1)
    slope, error = fit(*values)
    moved = fit(*(value + more for value in values), at=later)

    assert slope == pytest.approx(moved.slope, abs=1e-3)
    assert error == pytest.approx(moved.error, abs=1e-3)


@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=300))
def test_a_window_has_few_points_among_them_the_last_one(steps: list[float]) -> None:
    points: tuple[At, ...] = ()
    at = 0.0
    for step in steps:
        at += step
        points = with_point(points, At(at), 10)

    assert at == points[-1].at
    assert len(points) <= 70
    assert all(point.at >= at - 10 for point in points)
    assert sorted(points) == list(points)


def test_many_points_are_thinned_out_over_the_whole_window() -> None:
    points: tuple[At, ...] = ()
    for at in range(3000):
        points = with_point(points, At(at / 100), 10)

    assert 60 < len(points) <= 70
    assert 20 == pytest.approx(points[0].at, abs=0.2)


@pytest.mark.parametrize(
    ("moments", "enough"),
    [((0, 5), False), ((0, 2, 4.9), False), ((0, 2, 5), True), ((0, 1, 2, 3, 4, 5), True)],
)
def test_a_regression_needs_three_points_and_half_a_window(
    moments: tuple[float, ...], enough: bool
) -> None:
    assert enough == covers([At(at) for at in moments], 10)
