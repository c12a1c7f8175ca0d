"""When a log reached an offset, from looks at its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.lag.timeline import Timeline


def timeline(*looks: tuple[float, int]) -> Timeline:
    found = Timeline()
    for at, end in looks:
        found.observe(at, end)
    return found


def test_between_two_looks_records_came_evenly() -> None:
    found = timeline((100.0, 0), (110.0, 10))

    assert [100.5, 105.5, 109.5] == [found.written_at(offset) for offset in (0, 5, 9)]


def test_what_is_not_written_yet_has_no_time() -> None:
    assert timeline((100.0, 0), (110.0, 10)).written_at(10) is None
    assert Timeline().written_at(0) is None


def test_what_was_there_before_the_first_look_is_at_least_that_old() -> None:
    assert 100.0 == timeline((100.0, 50), (110.0, 60)).written_at(7)


def test_after_a_quiet_time_a_record_is_as_young_as_it_is() -> None:
    quiet = [(100.0 + at, 10) for at in range(1000)]

    assert 1099.5 == timeline(*quiet, (1100.0, 11)).written_at(10)


def test_a_log_that_begins_anew_has_a_new_timeline() -> None:
    found = timeline((100.0, 50), (110.0, 60), (120.0, 3), (130.0, 5))

    assert 125.0 == pytest.approx(found.written_at(3), abs=3)
    assert 120.0 == found.written_at(0)


def test_a_single_look_tells_no_time() -> None:
    assert not timeline((100.0, 50)).has_times
    assert timeline((100.0, 50), (101.0, 50)).has_times


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 1000)), min_size=1, max_size=400))
def test_times_are_in_order_and_between_the_looks_however_many_there_were(
    steps: list[tuple[float, int]],
) -> None:
    found = Timeline()
    at, end = 0.0, 0
    looks = []
    for after, more in steps:
        at, end = at + after, end + more
        looks.append((at, end))
        found.observe(at, end)
    times = [found.written_at(offset) for offset in range(0, end, 1 + end // 50)]

    known = [time for time in times if time is not None]
    assert len(times) == len(known)
    assert sorted(known) == known
    assert all(looks[0][0] <= time <= looks[-1][0] for time in known)
    # Of the latest looks, all are kept.
    last_at, last_end = looks[-1]
    if len(looks) > 1 and looks[-2][1] < last_end:
        written_at = found.written_at(last_end - 1)
        assert written_at is not None
        assert looks[-2][0] <= written_at <= last_at
