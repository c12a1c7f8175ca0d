"""Estimates of when a log reached an offset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.kafka.topic_ids import Log
from tracing.lag.timeline import Timeline, Timelines


def timeline(*observations: tuple[float, int]) -> Timeline:
    observed = Timeline()
    for at, end in observations:
        observed.observe(at, end)
    return observed


def test_between_two_observations_records_are_spread_evenly() -> None:
    observed = timeline((100.0, 0), (110.0, 10))

    assert [100.5, 105.5, 109.5] == [observed.written_at(offset) for offset in (0, 5, 9)]


def test_a_record_not_yet_written_has_no_time() -> None:
    assert timeline((100.0, 0), (110.0, 10)).written_at(10) is None
    assert Timeline().written_at(0) is None


def test_a_record_from_before_the_first_observation_has_its_time() -> None:
    assert 100.0 == timeline((100.0, 50), (110.0, 60)).written_at(7)


def test_a_record_after_a_quiet_period_has_a_recent_time() -> None:
    quiet = [(100.0 + at, 10) for at in range(1000)]

    assert 1099.5 == timeline(*quiet, (1100.0, 11)).written_at(10)


def test_a_new_log_has_a_new_timeline() -> None:
    observed = timeline((100.0, 50), (110.0, 60), (120.0, 3), (130.0, 5))

    assert 125.0 == pytest.approx(observed.written_at(3), abs=3)
    assert 120.0 == observed.written_at(0)


def test_one_observation_gives_no_time() -> None:
    assert not timeline((100.0, 50)).has_times
    assert timeline((100.0, 50), (101.0, 50)).has_times


def test_a_topic_of_the_same_name_has_a_new_timeline() -> None:
    old, new = Log("t", "old", 0), Log("t", "new", 0)
    observed = Timelines()
    observed.observe({old: 5}, {old})
    observed.observe({old: 9}, {old})
    before = observed.written_at(old, 7)
    # The new log is already longer than the old one was.
    observed.observe({new: 20}, {new})

    assert before is not None
    assert observed.written_at(new, 7) is None


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 1000)), min_size=1, max_size=400))
def test_times_are_in_order_and_between_the_observations(
    steps: list[tuple[float, int]],
) -> None:
    observed = Timeline()
    at, end = 0.0, 0
    observations = []
    for after, more in steps:
        at, end = at + after, end + more
        observations.append((at, end))
        observed.observe(at, end)
    times = [observed.written_at(offset) for offset in range(0, end, 1 + end // 50)]

    written = [time for time in times if time is not None]
    assert len(times) == len(written)
    assert sorted(written) == written
    assert all(observations[0][0] <= time <= observations[-1][0] for time in written)
    # The latest observations are all kept.
    last_at, last_end = observations[-1]
    if len(observations) > 1 and observations[-2][1] < last_end:
        written_at = observed.written_at(last_end - 1)
        assert written_at is not None
        assert observations[-2][0] <= written_at <= last_at
