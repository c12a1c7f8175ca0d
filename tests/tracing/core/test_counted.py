"""Counts in texts: one thing, or several."""

import pytest

from tracing.core.text import counted


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((0, "record"), "0 records"),
        ((1, "record"), "1 record"),
        ((1_200, "record"), "1,200 records"),
        ((1, "retry", "retries"), "1 retry"),
        ((2, "retry", "retries"), "2 retries"),
        ((1, "of them is", "of them are"), "1 of them is"),
    ],
)
def test_one_thing_is_singular_and_thousands_are_separated(
    words: tuple[int, str] | tuple[int, str, str], expected: str
) -> None:
    assert expected == counted(*words)
