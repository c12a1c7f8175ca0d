from __future__ import annotations

from math import nan
from typing import Any

import httpx
import pytest

from dashboards.signals import lag
from tests.outage.figure import Figure
from tests.outage.graphs import Graphs, Numbers, beside, means, near_quantile, together, up_to


@pytest.mark.parametrize(
    ("guess", "expected"),
    [(95.2, 95.2), (90.0, 94.0), (99.0, 96.0)],
)
def test_a_quantile_is_right_if_its_share_is_almost(guess: float, expected: float) -> None:
    values = [float(number) for number in range(101)]

    assert expected == near_quantile(values[::-1], 0.95, guess)


def test_a_quantile_at_a_jump_may_be_on_either_side_of_it() -> None:
    values = [1.0] * 950 + [80.0] * 50

    assert (1.0, 80.0) == (near_quantile(values, 0.95, 1.0), near_quantile(values, 0.95, 80.0))
    assert 1.0 == near_quantile(values, 0.5, 80.0)


def test_what_is_shown_and_should_not_be_is_a_figure_too() -> None:
    figures = beside("Sent", {("a",): 2.0, ("b",): 1.0}, {("a",): 2.0, ("c",): 3.0})

    assert ["Sent: a", "Sent: b", "Sent: c"] == [figure.name for figure in figures]
    assert [True, False, False] == [figure.fits for figure in figures]


def test_where_all_is_0_one_figure_says_so() -> None:
    assert [Figure("Lost: all", 0.0, 0, 0)] == beside("Lost", {("a",): 0.0}, {("b",): 0.0})
    assert [Figure("Lost: all", None, 0, 0)] == beside("Lost", {}, {})


def test_a_tolerance_is_a_share_or_the_smallest_one() -> None:
    assert Figure("x", 103, 100, 0.05).fits
    assert not Figure("x", 106, 100, 0.05).fits
    assert Figure("x", 106, 100, 0.05, 10).fits
    assert Figure("x", -21, -20, 0.05).fits
    assert Figure("x", None, 2, 0, 2).fits


def test_values_are_counted_up_to_each_bound() -> None:
    bounds: Numbers = {("1",): 0.0, ("2.5",): 0.0, ("+Inf",): 0.0, ("no answer",): nan}

    assert {("1",): 1, ("2.5",): 2, ("+Inf",): 3} == up_to(bounds, [3, 1, 2])


def test_a_query_that_fails_is_a_figure_that_does_not_fit() -> None:
    class Down:
        def query(self, _promql: str, _at_s: float) -> list[dict[str, Any]]:
            raise httpx.ReadTimeout("too long")

    graphs = Graphs(Down(), 60)  # type: ignore[arg-type]  # all that is called

    [figure] = graphs.compare(lag.SECONDS, {}, "group", "topic")
    assert not figure.fits
    assert "too long" in figure.name


def test_numbers_are_added_up_and_averaged_by_key() -> None:
    assert {("a",): 3.0, ("b",): 5.0} == together([{("a",): 1.0}, {("a",): 2.0, ("b",): 5.0}])
    assert {("a",): 2.0} == means({("a",): [1.0, 3.0], ("b",): []})
