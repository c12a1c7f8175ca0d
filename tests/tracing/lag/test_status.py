"""The rules that derive a partition's status from its offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.kafka.topic_ids import Log
from tracing.lag import Status
from tracing.lag.model import worst
from tracing.lag.status import History, Sample, covering, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW_S = 10.0


def samples(
    rows: Sequence[tuple[int, int]], *, assigned: bool | None = True, waiting: bool = True
) -> list[Sample]:
    """Return one sample per second, from pairs of committed offset and end."""
    return [
        Sample(float(at), committed, end, waiting, assigned)
        for at, (committed, end) in enumerate(rows)
    ]


WORKING = [(10 * at, 10 * at + 3) for at in range(11)]
GROWING = [(5 * at, 10 * at + 100) for at in range(11)]
SHRINKING = [(20 * at, 10 * at + 500) for at in range(11)]
STUCK = [(5, 10 * at + 6) for at in range(11)]
STUCK_AND_QUIET = [(5, 6)] * 11
BATCHES = [(50 * (at // 5), 10 * at + 1) for at in range(11)]
FALLING_BEHIND_IN_BATCHES = [(40 * (at // 5), 10 * at + 500) for at in range(11)]
BEGUN = [(5, 5)] * 6 + [(5, 9)] * 5


@pytest.mark.parametrize(
    ("rows", "assigned", "status"),
    [
        (WORKING, True, Status.OK),
        (WORKING, False, Status.OK),
        (GROWING, True, Status.LAGGING),
        (SHRINKING, True, Status.OK),
        (STUCK, True, Status.STALLED),
        (STUCK, None, Status.STALLED),
        (STUCK, False, Status.DEAD),
        (STUCK_AND_QUIET, False, Status.DEAD),
        (BATCHES, True, Status.OK),
        (FALLING_BEHIND_IN_BATCHES, True, Status.LAGGING),
        (BEGUN, True, Status.OK),
        (STUCK[:10], True, None),
        (WORKING[:3], True, None),
        (WORKING[:1], True, None),
        ([*STUCK, (200, 200)], True, Status.OK),
    ],
)
def test_the_rules(
    rows: list[tuple[int, int]], assigned: bool | None, status: Status | None
) -> None:
    assert status == judge(samples(rows, assigned=assigned), WINDOW_S)


def test_offsets_without_records_are_not_lag() -> None:
    assert Status.OK == judge(samples(STUCK, waiting=False), WINDOW_S)


def test_a_consumer_that_dies_is_ok_then_lagging_then_dead_and_ok_again() -> None:
    rows = [(10 * at, 10 * at + 3) for at in range(20)]
    rows += [(190, 10 * at + 3) for at in range(20, 40)]
    rows += [(10 * at, 10 * at + 3) for at in range(40, 50)]
    observed = samples(rows)
    observed = [sample._replace(assigned=not 20 <= at < 40) for at, sample in enumerate(observed)]

    statuses = [judge(observed[: at + 1], WINDOW_S) for at in range(len(observed))]

    assert [None] * 5 + [Status.OK] * 19 == statuses[:24]
    assert [Status.LAGGING] * 5 == statuses[24:29]
    assert [Status.DEAD] * 11 == statuses[29:40]
    assert [Status.OK] * 10 == statuses[40:]


@pytest.mark.parametrize(("at", "status"), [(5, Status.DEAD), (6, Status.STALLED)])
def test_a_partition_is_dead_only_without_a_member_for_half_a_window(
    at: int, status: Status
) -> None:
    observed = samples(STUCK, assigned=False)
    observed[at] = observed[at]._replace(assigned=True)

    assert status == judge(observed, WINDOW_S)


LOG = Log("t", "id", 0)


def judged(
    history: History, at: int, *, abandoned: bool | None, log: Log = LOG, lag: int = 5
) -> Status | None:
    sample = Sample(float(at), 5, 5 + lag, waiting=True, assigned=False, abandoned=abandoned)
    return history.judge("g", log, sample)


def test_a_record_that_waits_when_the_monitor_looks_does_not_make_the_status_unknown() -> None:
    # On a busy topic there is one at most moments. An unknown status is not reported, and
    # Prometheus then returns the last one for five minutes.
    history = History(WINDOW_S)
    seen = [
        history.judge("g", LOG, Sample(at, 10 * at - at % 2, 10 * at, at % 2 == 1, assigned=True))
        for at in range(30)
    ]
    assert [Status.OK] * 30 == seen


@pytest.mark.parametrize("lag", [0, 5])
def test_a_partition_is_abandoned_from_the_first_sample_on_with_and_without_lag(lag: int) -> None:
    history = History(WINDOW_S)

    assert {Status.ABANDONED} == {judged(history, at, abandoned=True, lag=lag) for at in range(20)}


@pytest.mark.parametrize("lag", [0, 5])
def test_a_rebalance_does_not_end_abandonment_but_an_outage_of_half_a_window_does(
    lag: int,
) -> None:
    history = History(WINDOW_S)
    for at in range(20):
        judged(history, at, abandoned=True, lag=lag)

    statuses = [judged(history, at, abandoned=None, lag=lag) for at in range(20, 30)]

    assert [Status.ABANDONED] * 4 + [Status.DEAD if lag else Status.OK] * 6 == statuses


def test_a_group_that_subscribes_again_has_the_status_of_its_offsets_at_once() -> None:
    history = History(WINDOW_S)
    for at in range(20):
        judged(history, at, abandoned=True)

    assert Status.DEAD == judged(history, 20, abandoned=False)
    assert Status.DEAD == judged(history, 21, abandoned=None)


def test_the_history_of_a_deleted_topic_says_nothing_about_a_new_one_of_its_name() -> None:
    history = History(WINDOW_S)
    for at in range(20):
        judged(history, at, abandoned=False)

    assert Status.DEAD == judged(history, 20, abandoned=False)
    assert judged(history, 21, abandoned=False, log=Log("t", "new", 0)) is None


def test_forgotten_logs_are_no_longer_abandoned() -> None:
    history = History(WINDOW_S)
    judged(history, 0, abandoned=True)
    history.forget_before(1)

    assert judged(history, 2, abandoned=None) is None


histories = st.lists(
    st.tuples(
        st.floats(0.1, 5),
        st.integers(0, 20),
        st.integers(0, 20),
        st.booleans(),
        st.sampled_from([True, False, None]),
    ),
    min_size=1,
    max_size=40,
)


def history(steps: Sequence[tuple[float, int, int, bool, bool | None]]) -> list[Sample]:
    observed = []
    at, committed, end = 0.0, 0, 0
    for after, read, written, waiting, assigned in steps:
        at, end = at + after, end + written
        committed = min(end, committed + read)
        observed.append(Sample(at, committed, end, waiting, assigned))
    return observed


@given(histories)
def test_samples_before_the_window_change_nothing(
    steps: list[tuple[float, int, int, bool, bool | None]],
) -> None:
    observed = history(steps)

    assert judge(observed, WINDOW_S) == judge(covering(observed, WINDOW_S), WINDOW_S)


@given(histories)
def test_no_lag_is_ok_and_only_waiting_records_are_stalled_or_dead(
    steps: list[tuple[float, int, int, bool, bool | None]],
) -> None:
    observed = history(steps)
    status = judge(observed, WINDOW_S)

    if not observed[-1].lag:
        assert Status.OK == status
    if status in {Status.STALLED, Status.DEAD}:
        window = covering(observed, WINDOW_S)
        assert 1 == len({sample.committed for sample in window})
        assert all(sample.lag for sample in window)
    if status is Status.DEAD:
        assert not observed[-1].assigned


@given(histories)
def test_samples_of_a_whole_window_give_a_status(
    steps: list[tuple[float, int, int, bool, bool | None]],
) -> None:
    observed = history(steps)

    covered = observed[-1].at - observed[0].at >= WINDOW_S
    assert judge(observed, WINDOW_S) is not None or not covered


@given(histories, st.integers(1, 10**9))
def test_only_differences_of_offsets_count(
    steps: list[tuple[float, int, int, bool, bool | None]], more: int
) -> None:
    observed = history(steps)
    moved = [
        sample._replace(committed=sample.committed + more, end=sample.end + more)
        for sample in observed
    ]

    assert judge(observed, WINDOW_S) == judge(moved, WINDOW_S)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], Status.OK),
        ([Status.OK, Status.OK], Status.OK),
        ([Status.OK, Status.DEAD, Status.LAGGING], Status.DEAD),
        ([Status.STALLED, None], Status.STALLED),
        ([Status.OK, None], None),
        ([None], None),
        ([Status.ABANDONED], Status.ABANDONED),
        ([Status.ABANDONED, Status.OK], Status.OK),
        ([Status.ABANDONED, None], None),
        ([Status.ABANDONED, Status.LAGGING], Status.LAGGING),
    ],
)
def test_a_group_has_the_status_of_its_worst_partition(
    statuses: list[Status | None], expected: Status | None
) -> None:
    assert expected == worst(statuses)
