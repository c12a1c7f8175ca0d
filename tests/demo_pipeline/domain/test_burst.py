"""When orders are placed in a burst."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_pipeline.domain.burst import Burst, steady_moments
from demo_pipeline.runtime.scenarios import SCENARIOS

BURST = Burst(times=10, after_s=10.0, lasts_s=20.0)


def _between(moments: list[float], begin_s: float, end_s: float) -> int:
    return sum(begin_s <= moment < end_s for moment in moments)


def test_orders_come_ten_times_as_fast_for_twenty_seconds() -> None:
    moments = list(BURST.moments(220, 1.0))

    assert 220 == len(moments)
    assert [10, 200, 10] == [
        _between(moments, begin, end) for begin, end in ((0, 10), (10, 30), (30, 40))
    ]


def test_further_orders_come_at_the_usual_rate_after_it() -> None:
    moments = list(BURST.moments(1000, 2.0))

    assert [20, 400, 20] == [
        _between(moments, begin, end) for begin, end in ((0, 10), (10, 30), (30, 40))
    ]
    assert (10 + 20 + 580 / 2) == pytest.approx(moments[-1], abs=1)


def test_with_fewer_orders_all_parts_are_shorter() -> None:
    moments = list(BURST.moments(22, 1.0))

    # A tenth of everything: one second, two seconds, one second.
    assert [1, 20, 1] == [_between(moments, begin, end) for begin, end in ((0, 1), (1, 3), (3, 4))]


@given(st.integers(1, 500), st.floats(0.1, 100.0))
def test_orders_begin_at_once_and_never_come_slower_or_faster_than_said(
    orders: int, rate: float
) -> None:
    moments = list(BURST.moments(orders, rate))

    assert (orders, 0.0) == (len(moments), moments[0])
    for before, after in pairwise(moments):
        assert 0.1 / rate * 0.999 <= after - before <= 1 / rate * 1.001


def test_the_scenario_places_what_its_burst_takes_and_others_are_steady() -> None:
    burst = SCENARIOS["burst"]
    assert BURST == burst.burst
    assert (220, 1.0) == (burst.orders, burst.rate)
    assert [0.0, 0.5, 1.0] == list(steady_moments(3, 2.0))
