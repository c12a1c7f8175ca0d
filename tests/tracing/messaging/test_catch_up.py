"""Which records of a lane are history is decided once, by its first record and its commits."""

from __future__ import annotations

from time import time
from types import SimpleNamespace
from typing import Any

import pytest

from tracing.kafka.transport import KAFKA
from tracing.messaging.catch_up import (
    GRACE_MS,
    NOTHING_COMMITTED,
    Committed,
    LaneCatchUp,
    metadata_of,
    until_of,
)
from tracing.metrics.instruments import Count

NOW_MS = int(time() * 1000)
OLD_MS = NOW_MS - GRACE_MS - 1
UNANSWERED = object()


class Lane:
    """A lane whose group has started now, and whose log ends at an offset."""

    def __init__(self, committed: object, *, end: int | None = 10) -> None:
        self.calls: list[str] = []
        self.count = Count()
        self.catch_up = LaneCatchUp(
            ("orders", 0),
            NOW_MS,
            transport=KAFKA,
            end_of=lambda _place: end,
            count=self.count,
            begun=lambda _: self.calls.append("begun"),
            reached=lambda _: self.calls.append("reached"),
            ended=lambda _: self.calls.append("ended"),
            failed=lambda fault: self.calls.append(type(fault).__name__),
        )
        if committed is not UNANSWERED:
            assert committed is None or isinstance(committed, Committed)
            self.catch_up.learned(committed)

    def takes(self, *offsets: int, timestamp: int = OLD_MS) -> list[bool]:
        return [
            self.catch_up.takes(record(offset=offset, timestamp=timestamp)) for offset in offsets
        ]


def record(**fields: Any) -> Any:
    return SimpleNamespace(**fields)


@pytest.mark.parametrize(
    ("committed", "first", "taken"),
    [
        pytest.param(NOTHING_COMMITTED, 0, True, id="nothing is committed"),
        pytest.param(NOTHING_COMMITTED, 9, True, id="the last one before the end"),
        pytest.param(NOTHING_COMMITTED, 10, False, id="behind the end that is known"),
        pytest.param(Committed(4), 4, False, id="it waited for the group"),
        pytest.param(Committed(4, 8), 4, True, id="the group was catching up"),
        pytest.param(Committed(4, 8), 8, False, id="the group had caught up"),
        pytest.param(Committed(4, 80), 9, True, id="the log is shorter than it was"),
        pytest.param(Committed(40, 80), 0, False, id="the offset was lost"),
        pytest.param(UNANSWERED, 0, True, id="the broker has not answered yet"),
    ],
)
def test_an_old_first_record_is_history(committed: object, first: int, taken: bool) -> None:
    assert [taken] == Lane(committed).takes(first)


@pytest.mark.parametrize("committed", [NOTHING_COMMITTED, UNANSWERED])
# Named: processes that run tests in parallel must collect the same ones.
@pytest.mark.parametrize(
    "timestamp",
    [
        pytest.param(OLD_MS + 2, id="not quite old"),
        pytest.param(NOW_MS, id="now"),
        pytest.param(NOW_MS + 1, id="later"),
    ],
)
def test_a_first_record_of_the_time_of_the_start_is_none(committed: object, timestamp: int) -> None:
    lane = Lane(committed)

    assert ([False], ["ended"]) == (lane.takes(0, timestamp=timestamp), lane.calls)


def test_what_is_below_the_end_is_history_however_new_and_what_follows_is_not() -> None:
    lane = Lane(NOTHING_COMMITTED)

    assert [True, True] == [*lane.takes(0), *lane.takes(9, timestamp=NOW_MS)]
    assert [False] == lane.takes(10)
    assert (2, 0) == (lane.count.value, lane.catch_up.remaining)
    assert ["begun", "reached", "reached"] == lane.calls


def test_history_that_is_delivered_again_is_still_history() -> None:
    lane = Lane(NOTHING_COMMITTED)

    assert [True, False, True, True, False] == lane.takes(9, 10, 8, 9, 10)


def test_a_lane_ends_once_no_history_can_be_delivered_again() -> None:
    lane = Lane(NOTHING_COMMITTED)

    lane.takes(0, 10, 1_009)
    assert "ended" not in lane.calls
    lane.takes(1_010)
    assert "ended" == lane.calls[-1]


def test_a_record_without_a_time_leaves_it_open() -> None:
    lane = Lane(NOTHING_COMMITTED)

    assert ([False], []) == (lane.takes(0, timestamp=-1), lane.calls)
    assert [True] == lane.takes(1)


def test_records_before_the_answer_are_not_counted_and_the_answer_decides() -> None:
    lane = Lane(UNANSWERED)

    assert ([True], 0) == (lane.takes(0), lane.count.value)
    lane.catch_up.learned(Committed(0))
    assert ([False], ["ended"]) == (lane.takes(1), lane.calls)


def test_without_an_answer_records_count_as_usual() -> None:
    lane = Lane(None)

    assert ["ended"] == lane.calls


def test_a_log_whose_end_is_unknown_has_one_record_of_history() -> None:
    lane = Lane(NOTHING_COMMITTED, end=None)

    assert [True, False] == lane.takes(3, 4)


def test_a_fault_ends_it_and_is_not_raised() -> None:
    lane = Lane(NOTHING_COMMITTED)

    assert not lane.catch_up.takes(record(offset=0))
    assert ["AttributeError", "ended"] == lane.calls


@pytest.mark.parametrize(
    ("metadata", "until"),
    [
        (metadata_of(7), 7),
        ("pipeline.catch_up=0", 0),
        ("", None),
        (None, None),
        (b"pipeline.catch_up=7", None),
        ("pipeline.catch_up=", None),
        ("pipeline.catch_up=-7", None),
        ("pipeline.catch_up=\u0667", None),
        ("pipeline.catch_up=" + "9" * 20, None),
        ("my pipeline.catch_up=7", None),
    ],
)
def test_only_metadata_of_its_own_is_believed(metadata: object, until: int | None) -> None:
    assert until == until_of(metadata)
