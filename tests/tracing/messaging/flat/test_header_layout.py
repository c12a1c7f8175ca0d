"""Headers are taken apart by position, whatever their number, and what is remembered is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from tracing.headers.codec import MAX_SCANNED
from tracing.messaging.flat.header_layout import HeaderLayouts, taken_apart


def _headers(count: int) -> list[tuple[str, bytes | None]]:
    return [(f"name-{number}", b"%d" % number) for number in range(count)]


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 16, 17, 40, MAX_SCANNED])
def test_a_value_is_where_its_name_is_and_an_absent_one_is_none(count: int, kind: Any) -> None:
    headers = _headers(count)
    if count:
        headers[count // 2] = ("ce_id", b"4711")

    names, values = taken_apart(kind(headers))
    layout = HeaderLayouts().of(names)

    assert tuple(name for name, _ in headers) == names
    assert (*(value for _, value in headers), None) == values
    assert (b"4711" if count else None) == values[layout.event_id]
    assert values[layout.subject] is None
    assert layout.reason is None
    assert count == layout.count
    assert (names, values) == layout.unpack(kind(headers))
    event_id, *others = layout.pick(values)
    assert (b"4711" if count else None) == event_id
    assert [None] * 5 == others


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("odd", [(), ("a",), ("a", b"b", b"c"), 5])
def test_headers_that_are_no_pairs_are_refused(count: int, odd: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        taken_apart([*_headers(count), odd])


def test_too_many_headers_are_not_even_looked_at() -> None:
    with pytest.raises(ValueError, match="more headers"):
        taken_apart(_headers(MAX_SCANNED + 1))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("name-0", "headers"),
        ("tracestate", "context_headers"),
        ("__pipeline.replay.group", "replayed"),
    ],
)
def test_names_that_the_flat_path_does_not_know_have_a_reason(name: str, reason: str) -> None:
    names, _ = taken_apart([*_headers(7), (name, b"")])

    assert reason == HeaderLayouts().of(names).reason


def test_layouts_are_remembered_unless_their_names_are_long_or_without_end() -> None:
    layouts = HeaderLayouts()

    assert layouts.of(("a", "b")) is layouts.of(("a", "b"))
    assert layouts.of(("x" * 1000,)) is not layouts.of(("x" * 1000,))
    for number in range(1000):
        layouts.of((f"invented-{number}",))
    assert len(layouts._known) <= 256
