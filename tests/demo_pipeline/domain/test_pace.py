"""The pace of a run: deadlines stretch with the answers that it sees, within bounds."""

from __future__ import annotations

import pytest

from demo_pipeline.domain.deadlines import QUICK
from demo_pipeline.domain.pace import MOST, USUAL_S, Pace, steady_pace


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def _take(pace: Pace, clock: _Clock, *seconds: float) -> None:
    for number, each in enumerate(seconds):
        pace.asked(f"o-{number}")
        clock.now += each
        pace.answered(f"o-{number}")


def test_without_slow_answers_deadlines_are_unchanged(
    clock: _Clock,
) -> None:
    pace = Pace(clock=clock)
    assert QUICK == pace.stretched(QUICK)
    _take(pace, clock, 0.01, USUAL_S)
    assert QUICK == pace.stretched(QUICK)


def test_deadlines_stretch_with_the_slowest_recent_answer_and_shrink_again(
    clock: _Clock,
) -> None:
    pace = Pace(clock=clock)
    _take(pace, clock, 0.1, 4 * USUAL_S, 0.1)
    stretched = pace.stretched(QUICK)
    assert (4 * QUICK.saga_s, 4 * QUICK.step_s, 4 * QUICK.compensation_s) == (
        stretched.saga_s,
        stretched.step_s,
        stretched.compensation_s,
    )
    assert (QUICK.step_attempts, QUICK.compensation_attempts) == (
        stretched.step_attempts,
        stretched.compensation_attempts,
    )
    _take(pace, clock, *[0.1] * 10)
    assert 1 == pace.factor


def test_a_pending_answer_counts_before_it_arrives(clock: _Clock) -> None:
    pace = Pace(clock=clock)
    pace.asked("o-1")
    clock.now += 3 * USUAL_S
    pace.asked("o-2")
    assert 3 == pace.factor
    pace.answered("o-1")
    pace.answered("o-1")
    assert 3 == pace.factor


def test_the_factor_is_limited(clock: _Clock) -> None:
    pace = Pace(clock=clock)
    pace.asked("o-1")
    clock.now += 1e6
    assert MOST == pace.factor


def test_a_steady_pace_changes_nothing() -> None:
    pace = steady_pace()
    pace.asked("o-1")
    pace.answered("o-2")
    assert QUICK == pace.stretched(QUICK)
