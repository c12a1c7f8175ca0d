"""The identity of an event: the same for every delivery, and readable from any bytes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.headers.dead_letter import Replay
from tracing.headers.identity import MAX_IDENTITY, EventIdentity, bounded

if TYPE_CHECKING:
    from collections.abc import Callable

REPLAYED = tuple(Replay(group="shipping", id="orders/3/7").headers())
LONG = b"x" * 256


@pytest.mark.parametrize(
    ("headers", "source", "event_id"),
    [
        ([("ce_source", b"/orders"), ("ce_id", b"1")], "/orders", "1"),
        ([("ce_id", b"1"), ("ce_source", b"/a"), ("ce_source", b"/b")], "/b", "1"),
        ([("ce_source", b"/a"), ("ce_id", b"1"), ("ce_id", None)], "/a", "1"),
        ([("ce_source", b"/a"), ("ce_id", b"1"), ("ce_id", b"")], "/a", "1"),
        ([("ce_source", b"/a"), ("ce_id", b"1"), *REPLAYED], "/a", "1"),
        ([], "kafka:orders", "3/42"),
        ([("ce_source", b"/orders")], "kafka:orders", "3/42"),
        ([("ce_source", b"/orders"), ("ce_id", "1")], "kafka:orders", "3/42"),
        (REPLAYED, "kafka:orders", "3/7"),
        ([("__pipeline.replay.group", b"shipping")], "kafka:orders", "3/42"),
        ([("ce_source", b"/a"), ("ce_id", LONG)], "/a", bounded(LONG)),
        ([("ce_source", b"/a"), ("ce_id", b"\xff")], "/a", bounded(b"\xff")),
    ],
)
def test_an_identity_is_read_from_the_headers_or_the_position(
    make_record: Callable[..., Any], headers: list[Any], source: str, event_id: str
) -> None:
    record = make_record(*headers, partition=3, offset=42)

    assert EventIdentity(source, event_id) == EventIdentity.of(record)


@pytest.mark.parametrize(
    "claimed",
    [
        "placed/3/7", "orders/0/7", "orders/3/42", "orders/3/43", "orders/3/9223372036854775807",
        "orders/03/7", "orders/3/07", "orders/3/+7", "orders/3/-7", "orders/3/\u0667",
        "orders/3/7 ", "orders/3/7\n", "orders/3", "orders", "3/7", "/3/7", "x/orders/3/7",
        "", "orders/3/7/",
    ],
)  # fmt: skip
def test_a_replay_mark_can_only_name_an_earlier_record_of_its_partition(
    make_record: Callable[..., Any], claimed: str
) -> None:
    marks = Replay(group="shipping", id=claimed).headers()
    record = make_record(*marks, partition=3, offset=42)

    assert EventIdentity("kafka:orders", "3/42") == EventIdentity.of(record)
    assert Replay.of(record) is None


def test_a_cloudevent_cannot_claim_the_identity_of_a_future_record(
    make_record: Callable[..., Any],
) -> None:
    claiming = make_record(("ce_source", b"kafka:orders"), ("ce_id", b"3/43"))
    future = make_record(partition=3, offset=43)

    assert EventIdentity.of(future) != EventIdentity.of(claiming)
    assert EventIdentity.of(claiming) == EventIdentity.of(claiming)


@given(first=st.binary(min_size=1, max_size=600), second=st.binary(min_size=1, max_size=600))
def test_different_bytes_stay_different_and_fit_in_a_column(first: bytes, second: bytes) -> None:
    one, other = bounded(first), bounded(second)

    assert (first == second) == (one == other)
    assert len(one.encode()) <= MAX_IDENTITY
    assert "\0" not in one


def test_the_text_of_a_hash_differs_from_the_hashed_value() -> None:
    assert bounded(LONG) != bounded(bounded(LONG).encode())


@given(
    headers=st.one_of(
        st.none(),
        st.lists(
            st.one_of(
                st.tuples(
                    st.sampled_from(
                        ["ce_id", "ce_source", "__pipeline.replay.group", "__pipeline.replay.id"]
                    ),
                    st.one_of(st.binary(), st.none(), st.text(), st.integers()),
                ),
                st.integers(),
            )
        ),
    )
)
def test_any_headers_give_an_identity(headers: Any) -> None:
    class Record:
        topic, partition, offset = "orders", 0, 1

        def __init__(self) -> None:
            self.headers = headers

    record: Any = Record()
    identity = EventIdentity.of(record)

    assert identity.source
    assert identity.id


def test_reading_an_identity_needs_no_sqlalchemy() -> None:
    program = (
        "import sys, tracing.headers.identity, tracing.delivery.inbox\n"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
