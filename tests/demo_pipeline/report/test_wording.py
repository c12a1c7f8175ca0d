"""Counts in the texts of the report."""

import pytest

from demo_pipeline.report.wording import counted


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((0, "order"), "0 orders"),
        ((1, "order"), "1 order"),
        ((1_200, "order"), "1,200 orders"),
        ((2, "retry", "retries"), "2 retries"),
    ],
)
def test_one_thing_is_singular_and_thousands_are_separated(
    words: tuple[int, str] | tuple[int, str, str], expected: str
) -> None:
    assert expected == counted(*words)
