from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_pipeline.domain.stock import (
    EMPTY,
    FOLD_VERSION,
    BrokenStreamError,
    ProductStock,
    StockChange,
    StockEvent,
    StockState,
    fold,
)

STREAMS = st.lists(st.tuples(st.sampled_from(StockChange), st.integers(0, 9))).map(
    lambda changes: [
        StockEvent(number, change, quantity, 10 * number)
        for number, (change, quantity) in enumerate(changes, 1)
    ]
)


def test_the_stock_is_what_arrived_less_what_is_reserved() -> None:
    events = [
        StockEvent(1, "opened", 2, 10),
        StockEvent(2, "received", 8, 20),
        StockEvent(3, "reserved", 7, 30, "o-1"),
        StockEvent(4, "released", 3, 40, "o-1"),
    ]

    assert StockState(4, received=10, reserved=7, released=3, at_ns=40) == fold(events)
    assert 6 == fold(events).available


@settings(deadline=None)
@given(events=STREAMS, data=st.data())
def test_a_fold_can_go_on_from_any_state_that_a_snapshot_has_kept(
    events: list[StockEvent], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    kept = msgspec.json.encode(fold(events[:cut]))

    assert fold(events) == fold(events[cut:], msgspec.json.decode(kept, type=StockState))


@pytest.mark.parametrize("sequences", [(2,), (1, 3), (1, 1), (1, 2, 1)])
def test_a_stream_with_a_missing_or_repeated_event_is_not_folded(
    sequences: tuple[int, ...],
) -> None:
    with pytest.raises(BrokenStreamError, match=rf"^event {sequences[-1]} follows event \d$"):
        fold(StockEvent(each, "received", 1, 0) for each in sequences)


def test_an_event_of_a_later_version_is_not_ignored() -> None:
    with pytest.raises(BrokenStreamError, match="event 1 is 'counted', which this version"):
        fold([StockEvent(1, "counted", 1, 0)])


def test_new_events_follow_the_stored_ones_and_count_at_once() -> None:
    product = ProductStock("kettle", StockState(7, received=9, at_ns=50), snapshot=7)
    product.record(StockChange.RESERVED, 2, 60, "o-1")
    product.record(StockChange.RELEASED, 1, 70, "o-1")

    assert [8, 9] == [event.sequence for event in product.new]
    assert 8 == product.state.available


def test_times_of_a_stream_never_go_back() -> None:
    product = ProductStock("kettle", StockState(1, received=9, at_ns=50))
    product.record(StockChange.RESERVED, 2, 40)

    assert [50] == [event.at_ns for event in product.new]


SNAPSHOT_OF = {1: b'{"sequence":4,"received":10,"reserved":7,"released":3,"at_ns":40}'}
"""By version of the fold, its snapshot of the same events. Add a version; change none."""


def test_a_changed_fold_has_a_new_version() -> None:
    changes = [("opened", 2), ("received", 8), ("reserved", 7), ("released", 3)]
    events = [
        StockEvent(number, change, quantity, 10 * number)
        for number, (change, quantity) in enumerate(changes, 1)
    ]

    assert SNAPSHOT_OF[FOLD_VERSION] == msgspec.json.encode(fold(events))


def test_the_state_before_the_first_event_is_empty() -> None:
    assert EMPTY == fold([])
    assert 0 == EMPTY.available
