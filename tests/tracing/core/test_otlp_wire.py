"""Attributes are written as protobuf writes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tracing.core.otlp_wire import (
    SPAN_ATTRIBUTE,
    DoubleAttribute,
    IntAttribute,
    TextAttribute,
    attribute,
    packer,
    span_times,
)

NAMES = st.one_of(st.text(min_size=1, max_size=20), st.text(min_size=100, max_size=200))
INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
TEXTS = st.one_of(st.text(max_size=20), st.integers(100, 300).map("é".__mul__))
PLAIN = st.one_of(TEXTS, st.booleans(), INTS, FLOATS)


def read(fields: list[bytes]) -> list[KeyValue]:
    return list(Span.FromString(b"".join(fields)).attributes)


def any_value(value: object) -> AnyValue:
    if isinstance(value, tuple):
        return AnyValue(array_value=ArrayValue(values=map(any_value, value)))
    kinds = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
    return AnyValue(**{kinds[type(value)]: value})  # type: ignore[arg-type]  # by its type


@given(NAMES, st.one_of(PLAIN, st.lists(PLAIN, max_size=40).map(tuple)))
def test_an_attribute_of_any_plain_value(name: str, value: object) -> None:
    written = attribute(SPAN_ATTRIBUTE, name, value)

    assert [KeyValue(key=name, value=any_value(value))] == read([written])


@given(NAMES, st.lists(TEXTS, max_size=3))
def test_texts_of_one_name(name: str, texts: list[str]) -> None:
    fields: list[bytes] = []
    text_attribute = TextAttribute(name)
    for text in texts:
        text_attribute.append(fields, text.encode())

    assert [KeyValue(key=name, value=AnyValue(string_value=text)) for text in texts] == read(fields)


def test_a_prefix_is_what_comes_before_a_text_of_its_size() -> None:
    prefixes = TextAttribute("name").prefixes

    for size, prefix in enumerate(prefixes):
        (read_back,) = read([prefix, b"x" * size])
        assert size * "x" == read_back.value.string_value
    assert 128 == len(prefixes)


@given(
    NAMES,
    st.one_of(
        st.lists(INTS, max_size=5),
        # Numbers that follow each other, as times and offsets do, also over the borders of bytes.
        st.builds(
            lambda first, steps: [first + step for step in steps],
            st.one_of(st.integers(-300, 2**42), st.sampled_from([2**14 - 2, 2**21 - 2, 2**62])),
            st.lists(st.integers(0, 20_000), max_size=6),
        ),
    ),
)
def test_integers_of_one_name(name: str, numbers: list[int]) -> None:
    fields: list[bytes] = []
    int_attribute = IntAttribute(name)
    for number in numbers:
        int_attribute.append(fields, number)

    expected = [KeyValue(key=name, value=AnyValue(int_value=number)) for number in numbers]
    assert expected == read(fields)


@given(
    st.one_of(INTS, st.sampled_from([1 << 7, 1 << 14, (1 << 35) - 1])),
    st.integers(1, 2),
    st.integers(0, (1 << 14) - 1),
)
def test_what_is_around_the_last_octets_of_a_number(number: int, octets: int, rest: int) -> None:
    offset = IntAttribute("offset")
    if 0 <= number < 1 << 7 * octets:
        with pytest.raises(ValueError, match=str(number)):
            offset.near(number, octets)
        return
    rest %= 1 << 7 * octets
    first, before, after = offset.near(number, octets)
    last = bytes((rest & 0x7F | 0x80, rest >> 7 | 0x80))[:octets]

    assert 0 <= number - first < 1 << 7 * octets
    (read_back,) = read([before, last, after])
    assert first + rest == read_back.value.int_value


def test_a_span_has_its_times() -> None:
    span = Span.FromString(span_times(7, (1 << 64) - 1))

    assert (7, (1 << 64) - 1) == (span.start_time_unix_nano, span.end_time_unix_nano)
    assert b"ab\x07" == packer("<2sB")(b"ab", 7)


@given(NAMES, st.lists(FLOATS, max_size=3))
def test_floats_of_one_name(name: str, numbers: list[float]) -> None:
    fields: list[bytes] = []
    double_attribute = DoubleAttribute(name)
    for number in numbers:
        double_attribute.append(fields, number)

    expected = [KeyValue(key=name, value=AnyValue(double_value=number)) for number in numbers]
    assert expected == read(fields)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (2**63, OverflowError),
        (-(2**63) - 1, OverflowError),
        ("\ud800", UnicodeEncodeError),
        (b"bytes", TypeError),
        (None, TypeError),
        ([1], TypeError),
        ((1, None), TypeError),
    ],
)
def test_what_cannot_be_written_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        attribute(SPAN_ATTRIBUTE, "name", value)


def test_an_integer_of_more_than_64_bits_is_refused_after_any_other() -> None:
    int_attribute = IntAttribute("name")
    int_attribute.append([], 2**63 - 1)

    with pytest.raises(OverflowError):
        int_attribute.append([], 2**63)


def test_a_float_may_be_no_number() -> None:
    (read_back,) = read([attribute(SPAN_ATTRIBUTE, "name", math.nan)])

    assert math.isnan(read_back.value.double_value)
