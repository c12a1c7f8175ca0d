"""Attributes with any names are written as those whose names are known in advance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.core.otlp_values import encoded_attributes
from tracing.core.otlp_wire import SPAN_ATTRIBUTE, attribute

NAMES = st.one_of(st.sampled_from(["order.id", "größe"]), st.text(min_size=1, max_size=20))
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["x" * 127, "x" * 128, "ü" * 64, (1, "a"), 0, 1, 0.0, 1.0]),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_values_of_any_type(attributes: dict[str, object]) -> None:
    expected = [attribute(SPAN_ATTRIBUTE, name, value) for name, value in attributes.items()]

    assert b"".join(expected) == encoded_attributes(attributes)


def test_any_number_of_names() -> None:
    for number in range(2_000):
        name = f"name {number}"

        assert attribute(SPAN_ATTRIBUTE, name, "x") == encoded_attributes({name: "x"})


@pytest.mark.parametrize("value", [b"bytes", None, [1], 2**63, "\ud800"])
def test_what_cannot_be_written_is_refused(value: object) -> None:
    with pytest.raises((TypeError, OverflowError, UnicodeEncodeError)):
        encoded_attributes({"name": value})
