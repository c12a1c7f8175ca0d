"""Velocities, and the time that is left until a group has caught up."""

from __future__ import annotations

import random
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.kafka.topic_ids import Log
from tracing.lag.velocity import Point, Velocities, Velocity, velocity

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW_S = 10.0
LOG = Log("orders", "id", 0)


def points(rows: Iterable[tuple[int, int]]) -> list[Point]:
    """Return one point per second, from pairs of committed offset and end."""
    return [
        Point(float(at), committed, end, end - committed)
        for at, (committed, end) in enumerate(rows)
    ]


def observed(rows: Iterable[tuple[int, int]]) -> Velocity | None:
    """Return the last velocity of a group that is observed each second."""
    velocities = Velocities(WINDOW_S)
    last = None
    for point in points(rows):
        last = velocities.observe("payment", LOG, point)
    return last


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # 500 waited, and each second 10 fewer wait: after 10 s, 400 are left.
        ([(20 * at, 10 * at + 500) for at in range(11)], Velocity(10, 20, True, 40)),
        ([(30 * at, 900) for at in range(11)], Velocity(0, 30, True, 20)),
        ([(5 * at, 10 * at + 100) for at in range(11)], Velocity(10, 5, True, inf)),
        ([(10 * at, 10 * at + 100) for at in range(11)], Velocity(10, 10, True, inf)),
        ([(10 * at, 10 * at + 3) for at in range(11)], Velocity(10, 10, True, 0)),
        ([(5, 10 * at + 6) for at in range(11)], Velocity(10, 0, False, inf)),
        ([(5, 100)] * 11, Velocity(0, 0, False, inf)),
        ([(50 * min(at, 5), 500) for at in range(11)], Velocity(0, 25, False, inf)),
        ([(100, 100)] * 11, Velocity(0, 0, False, 0)),
        ([(100, 100)] * 10 + [(100, 111)], Velocity(0.5, 0, False, 0)),
    ],
    ids=[
        "catches-up", "drains", "falls-behind", "stays-behind", "keeps-up", "paused-under-load",
        "paused", "paused-for-half-a-window", "quiet", "just-begun",
    ],
)  # fmt: skip
def test_known_series_have_known_velocities(
    rows: list[tuple[int, int]], expected: Velocity
) -> None:
    velocity = observed(rows)

    assert velocity is not None
    assert expected.moving is velocity.moving
    assert pytest.approx(expected.inflow) == velocity.inflow
    assert pytest.approx(expected.commits) == velocity.commits
    assert pytest.approx(expected.catch_up_s) == velocity.catch_up_s


@given(st.integers(1, 10**12), st.integers(0, 1000), st.integers(1, 1000), st.integers(100, 10**6))
def test_time_left_is_the_lag_by_the_speed_at_which_it_falls(
    start: int, inflow: int, faster: int, over: int
) -> None:
    lag = 20 * (inflow + faster) + over
    rows = [(start + (inflow + faster) * at, start + lag + inflow * at) for at in range(11)]
    velocity = observed(rows)

    assert velocity is not None
    assert (lag - 10 * faster) / faster == pytest.approx(velocity.catch_up_s, rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_noise_moves_the_time_a_little_and_steps_of_commits_hardly_at_all(seed: int) -> None:
    noise = random.Random(seed)
    # On average, 100 arrive and 200 are committed each second, in steps of up to 3 s.
    committed, end, behind = 0, 10_000, 0
    rows = []
    for _ in range(31):
        end += noise.randrange(50, 151)
        behind += 200
        if noise.random() < 0.7:
            committed, behind = committed + behind, 0
        rows.append((committed, end))
    velocity = observed_over(30, rows)

    assert velocity is not None
    truth = (end - committed) / 100
    assert truth == pytest.approx(velocity.catch_up_s, rel=0.35)


@pytest.mark.parametrize("seed", range(20))
def test_with_noise_a_group_that_falls_behind_never_catches_up(seed: int) -> None:
    noise = random.Random(seed)
    committed, end = 0, 10_000
    rows = []
    for _ in range(31):
        end += noise.randrange(50, 151)
        committed += noise.randrange(40, 91)
        rows.append((committed, end))
    velocity = observed_over(30, rows)

    assert velocity is not None
    assert inf == velocity.catch_up_s


def test_a_lag_that_wavers_is_not_taken_for_one_that_falls() -> None:
    never = 0
    for seed in range(100):
        noise = random.Random(seed)
        rows = [
            (100 * at + noise.randrange(80), 100 * at + 10_000 + noise.randrange(80))
            for at in range(31)
        ]
        velocity = observed_over(30, rows)
        assert velocity is not None
        never += velocity.catch_up_s == inf

    assert never > 95


def observed_over(window_s: float, rows: list[tuple[int, int]]) -> Velocity | None:
    return velocity(points(rows), window_s)


def test_one_slow_sweep_does_not_decide() -> None:
    rows = [(20 * at, 10 * at + 500) for at in range(10)]
    # In the last second, nothing was committed: by that one rate, the group falls behind.
    velocity = observed([*rows, (180, 600)])

    assert velocity is not None
    assert 40 < velocity.catch_up_s < 70


@pytest.mark.parametrize(
    "rows",
    [
        [(20 * at, 10 * at + 500) for at in range(11)] + [(0, 610)],
        [(20 * at, 10 * at + 500) for at in range(11)] + [(200, 7)],
    ],
    ids=["offsets-set-back", "a-new-topic"],
)
def test_what_was_before_a_reset_does_not_count(rows: list[tuple[int, int]]) -> None:
    assert observed(rows) is None

    committed, end = rows[-1]
    rows = rows + [(committed + at, end + at) for at in range(1, 12)]
    velocity = observed(rows)

    assert velocity is not None
    assert pytest.approx(1) == velocity.inflow
    assert pytest.approx(1) == velocity.commits


def test_velocities_are_unknown_for_half_a_window_and_after_a_partition_was_forgotten() -> None:
    velocities = Velocities(WINDOW_S)
    known = [velocities.observe("payment", LOG, point) for point in points([(1, 2)] * 7)]
    velocities.forget_before(6.0)
    assert velocities.observe("payment", LOG, Point(7.0, 1, 2, 1)) is not None
    velocities.forget_before(7.5)

    assert [True] * 5 + [False] * 2 == [each is None for each in known]
    assert velocities.observe("payment", LOG, Point(8.0, 1, 2, 1)) is None


def test_offsets_without_records_are_not_lag() -> None:
    rows = [point._replace(lag=0) for point in points([(5, 10 * at + 6) for at in range(11)])]
    last = velocity(rows, WINDOW_S)

    assert last is not None
    assert 0 == last.catch_up_s
