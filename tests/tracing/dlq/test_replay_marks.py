"""Marks of replays: what they add up to, and that no bytes can break them."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from tracing.dlq import Letter, LetterId, ReplayHistory, ReplayState, ReplayStatus
from tracing.dlq.replayed import Mark, mark_key, parse_mark_key

PLACE = LetterId("orders.payment.dlq", 0, 7)
BEGUN = Mark(run="r1", sent=False, at_ms=10, written_ms=1)
SENT = Mark(run="r1", sent=True, at_ms=20, written_ms=1)


def dead_letter(written_ms: int = 1) -> Letter:
    return Letter.of(
        ConsumerRecord[Any, Any](
            PLACE.topic, PLACE.partition, PLACE.offset, written_ms, 0, b"k", b"v", None, 1, 1, ()
        )
    )


def history(*marks: Mark | tuple[Mark, None]) -> ReplayHistory:
    """Return the history of these marks, or withdrawals of marks, in this order."""
    added = ReplayHistory()
    for offset, mark in enumerate(marks):
        if isinstance(mark, tuple):
            added.add(mark_key(PLACE, mark[0].run), None, offset)
        else:
            added.add(mark_key(PLACE, mark.run), mark.value(), offset)
    return added


OTHER_BEGUN = Mark(run="r2", sent=False, at_ms=30, written_ms=1)
OTHER_SENT = Mark(run="r2", sent=True, at_ms=40, written_ms=1, edited=True)
OF_AN_OLDER_TOPIC = Mark(run="r1", sent=True, at_ms=20, written_ms=99)


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([], ReplayStatus(ReplayState.NO)),
        ([BEGUN], ReplayStatus(ReplayState.PERHAPS, 0, 10)),
        ([BEGUN, SENT], ReplayStatus(ReplayState.YES, 1, 20)),
        # A later replay that was killed does not unsay an earlier one.
        ([BEGUN, SENT, OTHER_BEGUN], ReplayStatus(ReplayState.YES, 1, 20)),
        ([BEGUN, SENT, OTHER_BEGUN, OTHER_SENT], ReplayStatus(ReplayState.YES, 2, 40, edited=True)),
        # Two runs at once, in any order.
        ([BEGUN, OTHER_BEGUN, SENT], ReplayStatus(ReplayState.YES, 1, 20)),
        ([BEGUN, (BEGUN, None)], ReplayStatus(ReplayState.NO)),
        ([BEGUN, SENT, OTHER_BEGUN, (OTHER_BEGUN, None)], ReplayStatus(ReplayState.YES, 1, 20)),
        ([OF_AN_OLDER_TOPIC], ReplayStatus(ReplayState.NO)),
    ],
)
def test_marks_add_up(marks: list[Mark | tuple[Mark, None]], expected: ReplayStatus) -> None:
    assert expected == history(*marks).status(dead_letter())


def test_what_cannot_be_read_is_unknown() -> None:
    unreadable = history(BEGUN, SENT)
    unreadable.problem = "no right to read"

    assert ReplayState.UNKNOWN is unreadable.status(dead_letter()).state
    assert unreadable


def test_marks_of_other_topics_are_not_kept() -> None:
    narrow = ReplayHistory(["shipments.payment.dlq"])
    narrow.add(mark_key(PLACE, "r1"), SENT.value(), 0)

    assert not narrow


@pytest.mark.parametrize(
    "value",
    [b"", b"{}", b"[]", b"\xff", b"[" * 4000, b'{"version": 2, "state": "sent"}', b"1" * 10_000],
)
def test_a_mark_that_cannot_be_read_means_perhaps(value: bytes) -> None:
    later = ReplayHistory()
    later.add(mark_key(PLACE, "r1"), value, 0)

    assert ReplayState.PERHAPS is later.status(dead_letter()).state


@given(st.binary(max_size=200) | st.none(), st.binary(max_size=200) | st.none())
def test_no_record_makes_reading_the_marks_fail(key: bytes | None, value: bytes | None) -> None:
    read = ReplayHistory()
    read.add(key, value, 0)

    assert (parse_mark_key(key) is None) == bool(read.ignored)


@given(
    st.builds(
        Mark,
        run=st.just("r1"),
        sent=st.booleans(),
        at_ms=st.integers(0, 2**60),
        written_ms=st.integers(-1, 2**60),
        edited=st.booleans(),
    )
)
def test_a_mark_survives_its_record(mark: Mark) -> None:
    assert mark == Mark.of_value("r1", mark.value())
    assert (PLACE, "r1") == parse_mark_key(mark_key(PLACE, "r1"))


@pytest.mark.parametrize(
    ("marks", "after", "before", "expected"),
    [
        ([OTHER_BEGUN, BEGUN], 0, 1, True),
        # The other run sees this one's mark, and leaves the dead letter to it.
        ([BEGUN, OTHER_BEGUN], 0, 0, False),
        # The user was asked about it.
        ([OTHER_BEGUN, BEGUN], 1, 1, False),
        ([OTHER_BEGUN, (OTHER_BEGUN, None), BEGUN], 0, 2, False),
        ([OTHER_BEGUN, BEGUN, OTHER_SENT], 0, 1, True),
    ],
)
def test_the_first_of_two_runs_at_once_sends(
    marks: list[Mark | tuple[Mark, None]], after: int, before: int, *, expected: bool
) -> None:
    assert expected == history(*marks).rivals(dead_letter(), "r1", after, before)
