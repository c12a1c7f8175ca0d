"""Counts in texts: one thing, or several."""

from collections.abc import Callable

import pytest

from demo_pipeline.report import wording
from tracing.core import text


@pytest.mark.parametrize("count", [text.counted, wording.counted])
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
    count: Callable[..., str], words: tuple[object, ...], expected: str
) -> None:
    assert expected == count(*words)
