"""The header codec accepts any record: nothing raises, and the work is bounded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.headers.codec import MAX_SCANNED, last_value, latest, reversed_pairs, text, without

ANY_VALUE = st.one_of(
    st.binary(max_size=200), st.none(), st.text(max_size=20), st.integers(), st.lists(st.binary())
)
ANY_PAIR = st.one_of(
    st.tuples(st.text(max_size=20), ANY_VALUE),
    st.tuples(ANY_VALUE, ANY_VALUE),
    st.tuples(st.text()),
    st.integers(),
    st.none(),
    st.text(max_size=3),
)
ANY_HEADERS = st.one_of(
    st.lists(ANY_PAIR, max_size=30),
    st.lists(ANY_PAIR, max_size=30).map(tuple),
    st.none(),
    st.integers(),
    st.binary(),
)


@given(ANY_HEADERS)
def test_any_headers_can_be_read(headers: Any) -> None:
    found = latest(headers)
    list(reversed_pairs(headers))
    for value in found.values():
        text(value, 100)


@given(st.lists(ANY_PAIR, max_size=30))
def test_removing_headers_keeps_the_others_in_order(headers: list[Any]) -> None:
    kept = without(headers, frozenset({"traceparent"}))

    assert [
        pair for pair in headers if not (isinstance(pair, tuple) and pair[0] == "traceparent")
    ] == kept


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.binary()), max_size=400))
def test_the_last_value_of_a_name_wins(headers: list[tuple[str, bytes]]) -> None:
    assert dict(headers[-MAX_SCANNED:]) == latest(headers)


def test_work_is_bounded_however_many_headers_there_are() -> None:
    class Counting(list[tuple[str, bytes]]):
        looked_at = 0

        def __getitem__(self, index: Any) -> Any:
            found = super().__getitem__(index)
            Counting.looked_at += len(found) if isinstance(index, slice) else 1
            return found

    headers = Counting([(f"h{number}", b"") for number in range(100_000)])

    assert len(latest(headers)) == MAX_SCANNED
    assert Counting.looked_at == MAX_SCANNED


def test_text_is_bounded_and_utf8() -> None:
    assert text(b"caf\xc3\xa9", 10) == "café"
    assert text(b"\xff", 10) is None
    assert text(b"12345678901", 10) is None
    assert text(None, 10) is None
    assert text("already text", 100) is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        None,
        5,
        [("a", b"1"), ("b", b"2"), ("a", b"3")],
        (("a", None),),
        [("a", b"1"), ("b",), ("c", b"1", b"2")],
        [("a", b"1"), ("a", b"2", b"3")],
        [None, ("a", b"1"), 7],
        [([], b"1"), ("a", b"2")],
        {"a": b"1"},
        [("a", b"first"), *[("b", b"x")] * MAX_SCANNED],
        [*[("b", b"x")] * MAX_SCANNED, ("a", b"last")],
    ],
)
def test_the_last_value_of_one_header_is_that_of_the_map(headers: object) -> None:
    assert latest(headers).get("a") == last_value(headers, "a")
