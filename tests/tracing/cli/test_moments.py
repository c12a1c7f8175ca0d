"""Ages and times: parsed from options, and printed."""

from __future__ import annotations

from time import time

import pytest

from tracing.cli.option_types import parse_moment
from tracing.core.times import age, iso_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1.5h", 5400), ("2d", 172_800), ("1w", 604_800)],
)
def test_an_age_counts_back_from_now(text: str, seconds: float) -> None:
    assert abs(time() - seconds - parse_moment(text) / 1000) < 5


def test_a_time_without_a_zone_is_utc() -> None:
    assert 1_000_000_000_000 == parse_moment("2001-09-09T01:46:40")
    assert 1_000_000_000_000 == parse_moment("2001-09-09T03:46:40+02:00")
    assert "2001-09-09T01:46:40Z" == iso_time(1_000_000_000_000)


@pytest.mark.parametrize("text", ["", "soon", "15", "15x", "-3h", "2026-13-01"])
def test_any_other_text_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 90s"):
        parse_moment(text)


def test_an_age_is_written_in_its_largest_unit() -> None:
    now = time() * 1000
    ages = [age(int(now - seconds * 1000)) for seconds in (5, 119, 300, 7300, 200_000, 2_000_000)]
    assert ["5s", "119s", "5m", "2h", "2d", "3w"] == ages
    assert "unknown" == age(0)
