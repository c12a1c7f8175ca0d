"""The `ot` entry of a `tracestate` is read whole or not at all, and written within its bound."""

import pytest

from tracing.core.sampling_state import format_entry, is_consistent, parse_entry, randomness_of

RV = "6e6d1a75832a2f"


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        (f"rv:{RV}", {"rv": RV}),
        (f"th:c;rv:{RV}", {"th": "c", "rv": RV}),
        ("th:0", {"th": "0"}),
        ("p:8;r:62", {"p": "8", "r": "62"}),
        ("later1:A-b_c.9", {"later1": "A-b_c.9"}),
        ("empty:", {"empty": ""}),
    ],
)
def test_a_well_formed_entry_is_read(entry: str, values: dict[str, str]) -> None:
    assert values == parse_entry(entry)
    assert entry == format_entry(values)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "th",
        ":8",
        "th:8;",
        ";th:8",
        "th:8;;rv:1",
        "th:8:9",
        "TH:8",
        "1th:8",
        "th:8;th:8",
        "th:",
        "th:C",
        "th:123456789012345",
        "rv:6e6d1a75832a2",
        "rv:6E6D1A75832A2F",
        "rv:6e6d1a75832a2f0",
        "rv:",
        "x:a b",
        "x:é",
        "x:" + "a" * 255,
    ],
)
def test_a_malformed_entry_is_no_entry(entry: str) -> None:
    assert parse_entry(entry) is None


def test_of_an_entry_that_would_be_too_long_what_decides_is_left() -> None:
    values = {"x": "a" * 240, "rv": RV, "th": "8"}

    assert f"rv:{RV};th:8" == format_entry(values)


def test_the_randomness_of_a_trace_id_is_in_its_lowest_56_bits() -> None:
    assert "0000000000000a" == randomness_of(0xFFFF_FFFF_FFFF_FFFF_FF00_0000_0000_000A)


@pytest.mark.parametrize(
    ("values", "consistent"),
    [
        ({}, True),
        ({"th": "0"}, True),
        ({"th": "8"}, True),
        ({"th": "8000000000001"}, True),
        ({"th": "80000000000011"}, False),
        ({"th": "c"}, False),
        ({"th": "c", "rv": "c0000000000000"}, True),
        ({"th": "8", "rv": "7fffffffffffff"}, False),
    ],
)
def test_a_sampled_trace_is_at_least_at_its_threshold(
    values: dict[str, str], consistent: bool
) -> None:
    assert consistent is is_consistent(values, 0x80_0000_0000_0010)
