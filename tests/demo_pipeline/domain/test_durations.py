"""How long orders usually stay in a state, with an injected clock."""

from __future__ import annotations

import pytest

from demo_pipeline.domain.durations import StateDurations
from demo_pipeline.domain.order_states import OrderState

PLACED, RESERVED, PAID = OrderState.PLACED, OrderState.RESERVED, OrderState.PAID


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def durations(clock: _Clock) -> StateDurations:
    return StateDurations(clock)


def _stayed(
    durations: StateDurations, order_id: str, seconds: float, until_s: float = 1000
) -> None:
    durations.moved(order_id, RESERVED, until_s - seconds)
    durations.moved(order_id, PAID, until_s)


def test_the_usual_duration_is_the_median_of_the_last_hundred(durations: StateDurations) -> None:
    assert None is durations.usual_s(RESERVED)
    for number in range(100):
        _stayed(durations, f"old-{number}", 500)
    for number in range(100):
        _stayed(durations, f"new-{number}", 3 if number % 2 else 5)

    assert 4.0 == durations.usual_s(RESERVED)
    assert None is durations.usual_s(PAID)


def test_figures_of_ten_minutes_ago_say_nothing_any_more(
    durations: StateDurations, clock: _Clock
) -> None:
    _stayed(durations, "o-1", 3)
    clock.now_s += 600
    assert 3.0 == durations.usual_s(RESERVED)
    _stayed(durations, "o-2", 9, until_s=clock.now_s)
    clock.now_s += 1

    assert 9.0 == durations.usual_s(RESERVED)
    clock.now_s += 600
    assert None is durations.usual_s(RESERVED)


def test_an_event_of_an_earlier_state_and_one_that_comes_twice_change_nothing(
    durations: StateDurations, clock: _Clock
) -> None:
    durations.moved("o-1", PAID, 990)
    durations.moved("o-1", RESERVED, 995)
    durations.moved("o-1", PAID, 996)

    assert 10.0 == durations.so_far_s("o-1", PAID)
    assert None is durations.so_far_s("o-1", RESERVED)
    assert None is durations.usual_s(PAID)
    clock.now_s -= 50
    assert 0.0 == durations.so_far_s("o-1", PAID)


def test_orders_that_have_ended_are_forgotten_and_those_under_way_are_bounded(
    durations: StateDurations,
) -> None:
    durations.moved("o-1", PAID, 990)
    durations.moved("o-1", OrderState.SHIPPED, 992)
    for number in range(10_001):
        durations.moved(f"n-{number}", PLACED, 1000)

    assert 2.0 == durations.usual_s(PAID)
    assert None is durations.so_far_s("o-1", OrderState.SHIPPED)
    assert None is durations.so_far_s("n-0", PLACED)
    assert 0.0 == durations.so_far_s("n-1", PLACED)
