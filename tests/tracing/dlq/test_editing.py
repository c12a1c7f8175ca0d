"""Values as texts to edit: what is not edited stays as it is, to the letter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from tracing.dlq import Letter
from tracing.dlq.editing import Draft
from tracing.dlq.json_text import joined, json_problem, spread

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


def dead_letter(value: bytes | None, content_type: bytes | None = None) -> Letter:
    headers = [] if content_type is None else [("content-type", content_type)]
    return Letter.of(
        ConsumerRecord[Any, Any](
            "orders.payment.dlq", 0, 0, 1, 0, b"k", value, None, 1, 1, tuple(headers)
        )
    )  # fmt: skip


@given(JSON, st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
def test_json_on_one_line_is_spread_and_restored(
    value: Any, separators: tuple[str, str], ascii_only: bool
) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    several, style = spread(text) or ("", ("", ""))

    assert text == joined(several, style)
    assert value == json.loads(several)
    assert json_problem(several) is None


def test_spread_json_has_a_line_for_each_member_and_element() -> None:
    text = '{"amount":1.0,"items":["a{,",[]],"amount":1e2}'

    assert (
        '{\n  "amount": 1.0,\n  "items": [\n    "a{,",\n    []\n  ],\n  "amount": 1e2\n}',
        (",", ":"),
    ) == spread(text)


def test_json_that_is_nested_deeply_is_edited_as_it_is() -> None:
    assert spread("[" * 100 + "]" * 100) is not None
    deep = b"[" * 2000 + b"]" * 2000

    draft = Draft(dead_letter(deep, b"application/json"))

    assert deep + b"\n" == draft.content


def test_a_string_without_an_end_is_one_token() -> None:
    text = '{"a":"' + '\\"' * 100_000

    assert ('{\n  "a": "' + '\\"' * 100_000, (",", ":")) == spread(text)


def test_json_that_could_not_be_restored_is_edited_as_it_is() -> None:
    text = b'{"amount" :1,\n "b": 2}'

    assert spread(text.decode()) is None
    assert text + b"\n" == Draft(dead_letter(text)).content


@given(st.binary(max_size=200))
def test_an_untouched_text_is_the_value(value: bytes) -> None:
    hexadecimal = Draft(dead_letter(value), as_hex=True)
    assert value == hexadecimal.value(hexadecimal.content)
    try:
        text = Draft(dead_letter(value))
    except ValueError:
        return
    assert value == text.value(text.content)
    assert [] == text.diff(text.content)


def test_only_what_is_edited_changes() -> None:
    draft = Draft(dead_letter(b'{"amount":1.0,"big":12345678901234567890,"a":"\\u00e9"}'))
    edited = draft.content.replace(b"1.0", b"2.50")

    assert ".json" == draft.suffix
    assert b'{"amount":2.50,"big":12345678901234567890,"a":"\\u00e9"}' == draft.value(edited)
    assert ['-  "amount": 1.0,', '+  "amount": 2.50,'] == draft.diff(edited)[4:6]


@pytest.mark.parametrize(
    ("value", "edited", "expected"),
    [
        # Editors end the last line; the value had no end of line.
        (b"secret", b"other\n", b"other"),
        (b"secret\n", b"other\n", b"other\n"),
        (b"a\r\nb", b"a\r\nc\n", b"a\r\nc"),
        ("é".encode(), "è\n".encode(), "è".encode()),
    ],
)
def test_other_text_is_edited_as_it_is(value: bytes, edited: bytes, expected: bytes) -> None:
    draft = Draft(dead_letter(value))

    assert ".txt" == draft.suffix
    assert expected == draft.value(edited)


@pytest.mark.parametrize(
    ("content_type", "edited", "message"),
    [
        (b"application/json", b"{", "not JSON: line 1, column 2"),
        (b"application/cloudevents+json; charset=utf-8", b"[NaN]", "NaN is not JSON"),
        (None, b'{"a": 1,}', "not JSON"),
        (None, b"\xff", "not UTF-8"),
        (None, b"\n", "empty"),
        (b"text/plain", b"", "empty"),
    ],
)
def test_a_text_that_cannot_be_the_value_is_refused(
    content_type: bytes | None, edited: bytes, message: str
) -> None:
    draft = Draft(dead_letter(b'{"a":1}', content_type))

    with pytest.raises(ValueError, match=message):
        draft.value(edited)


def test_a_declared_other_type_need_not_be_json() -> None:
    assert b"{" == Draft(dead_letter(b"{}", b"text/plain")).value(b"{\n")


def test_broken_json_can_be_mended() -> None:
    draft = Draft(dead_letter(b'{"a":1', b"application/json"))

    assert b'{"a":1}' == draft.value(b'{"a":1}\n')


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\x0a\x05hello", b"a\0"])
def test_a_binary_value_is_refused_as_text(value: bytes) -> None:
    with pytest.raises(ValueError, match="is not text: --hex edits its bytes"):
        Draft(dead_letter(value))


def test_bytes_are_edited_as_hexadecimal_digits() -> None:
    draft = Draft(dead_letter(bytes(range(18))), as_hex=True)

    assert b"00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n10 11\n" == draft.content
    assert b"\x00\xff" == draft.value(b"00 ff\n")
    with pytest.raises(ValueError, match="not hexadecimal"):
        draft.value(b"0g\n")


def test_a_dead_letter_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="has no value"):
        Draft(dead_letter(None))


@pytest.mark.parametrize(
    ("value", "edited", "lines"),
    [
        (b"a\nb", b"a\r\nb\n", ["-a", "+a\r", " b"]),
        (b"a\n", b"a", [" a", "-"]),
        ("a\u2028b".encode(), b"a\nb\n", ["-a\u2028b", "+a", "+b"]),
        (b"a", b"a", []),
    ],
)
def test_the_diff_shows_each_change_of_the_value_also_of_line_ends(
    value: bytes, edited: bytes, lines: list[str]
) -> None:
    draft = Draft(dead_letter(value))

    assert lines == draft.diff(edited)[3:]
    assert bool(lines) == (draft.value(edited) != value)
