"""Reading a flow event from a record: any bytes and any clock, without an error."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from tracing import FlowEvent, SagaFlow

MS = 1_000_000
FLOW = SagaFlow(
    name="notify",
    start="Placed",
    steps={"Shipped": "shipped", "Texted": "texted"},
    ends={"Texted": "completed", "Lost": "failed"},
    deadline_s=10.0,
)
NAMES = st.sampled_from(["ce_type", "ce_subject", "ce_time", "ce_id", "x"])
PIECES = st.sampled_from(
    [b"Placed", b"Texted", b"o-1", b"", b"\xff\xfe", b"\0", b"x" * 1025, b"y" * 3_000_000,
     b"2026-01-02T03:04:05Z", b"9999-12-31T23:59:59.999999+00:00", b"0001-01-01T00:00:00+23:59",
     b"9999-12-31T23:59:59-23:59"]
)  # fmt: skip
VALUES = PIECES | st.binary(max_size=20) | st.none() | st.integers() | st.text(max_size=3)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
ANYTHING = (
    PAIRS.map(tuple)
    | st.none()
    | st.integers()
    | st.text(max_size=4)
    | st.lists(st.integers() | st.text(max_size=3) | st.tuples(NAMES) | st.lists(NAMES))
    | st.dictionaries(NAMES, VALUES)
)


def record(headers: Any, timestamp: Any = 1000) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord("t", 0, 0, timestamp, 0, None, None, None, 0, 0, headers)


def event_of(*headers: tuple[str, Any], timestamp: Any = 1000) -> FlowEvent | None:
    return FLOW.read(record(headers, timestamp))


@settings(max_examples=300, deadline=None)
@given(ANYTHING, st.integers(-(2**63), 2**63 - 1))
def test_any_record_gives_a_valid_event_or_none(headers: Any, timestamp: int) -> None:
    event = FLOW.read(record(headers, timestamp))

    if event is not None:
        assert 0 < len(event.saga_id.encode()) <= 1024
        assert event.at_ns >= 0
        assert event.state in {"started", "shipped", "completed", "failed"}


@pytest.mark.parametrize(
    ("event_time", "timestamp"),
    [
        (b"9999-12-31T23:59:59Z", 1000),
        (b"9999-12-31T23:59:59.999999-12:00", 1000),
        (None, 2**63 - 1),
    ],
)
def test_a_time_fits_in_64_bits(event_time: bytes | None, timestamp: int) -> None:
    event = event_of(
        ("ce_type", b"Placed"), ("ce_subject", b"o-1"), ("ce_time", event_time), timestamp=timestamp
    )

    assert event is not None
    assert 0 <= event.at_ns < 2**63


def test_a_record_without_a_timestamp_does_not_raise() -> None:
    assert None is not event_of(("ce_type", b"Placed"), ("ce_subject", b"o-1"), timestamp=None)


@pytest.mark.parametrize(
    ("event_time", "at_ns"),
    [
        (b"1970-01-01T00:00:02Z", 2000 * MS),
        (b"1970-01-01T00:00:02.000001Z", 2000 * MS + 1000),
        (b"1970-01-01T02:00:02+02:00", 2000 * MS),
        (b"1970-01-01T00:00:02", 1000 * MS),
        (b"1960-01-01T00:00:02Z", 0),
        (b"soon", 1000 * MS),
        (b"", 1000 * MS),
        (None, 1000 * MS),
        (b"\xff", 1000 * MS),
        (b"1970-01-01T00:00:02Z" + b" " * 2000, 1000 * MS),
        (b"1970-01-01T25:61:61Z", 1000 * MS),
    ],
)
def test_the_time_of_an_event_is_its_own_or_else_when_it_was_produced(
    event_time: bytes | None, at_ns: int
) -> None:
    event = event_of(("ce_type", b"Placed"), ("ce_subject", b"o-1"), ("ce_time", event_time))

    assert event is not None
    assert at_ns == event.at_ns


def test_an_event_without_any_time_happened_at_the_epoch() -> None:
    event = event_of(("ce_type", b"Placed"), ("ce_subject", b"o-1"), timestamp=-1)

    assert event is not None
    assert 0 == event.at_ns


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"Placed", (True, None, None, "started")),
        (b"Shipped", (False, "shipped", None, "shipped")),
        (b"Texted", (False, "texted", "completed", "completed")),
        (b"Lost", (False, None, "failed", "failed")),
    ],
)
def test_an_event_starts_moves_or_ends_a_flow(
    kind: bytes, expected: tuple[bool, str | None, str | None, str]
) -> None:
    event = event_of(("ce_type", kind), ("ce_subject", b"o-1"))

    assert event is not None
    assert expected == (event.starts, event.step, event.outcome, event.state)


@pytest.mark.parametrize(
    "headers",
    [
        (("ce_type", b"Other"), ("ce_subject", b"o-1")),
        (("ce_type", b"Placed"),),
        (("ce_subject", b"o-1"),),
        (("ce_type", b"Placed"), ("ce_subject", b"")),
        (("ce_type", b"Placed"), ("ce_subject", b"x" * 1025)),
        (("ce_type", b"Placed"), ("ce_subject", b"\xff")),
        (("ce_type", b"Placed "), ("ce_subject", b"o-1")),
    ],
)
def test_a_record_outside_the_flow_gives_none(headers: Any) -> None:
    assert None is event_of(*headers)


def test_the_last_of_repeated_headers_counts() -> None:
    event = event_of(
        ("ce_type", b"Other"), ("ce_subject", b"o-1"), ("ce_type", b"Lost"), ("ce_subject", b"o-2")
    )

    assert event is not None
    assert ("o-2", "failed") == (event.saga_id, event.outcome)


def test_one_event_can_be_a_whole_flow() -> None:
    flow = SagaFlow(
        name="f", start="E", steps={"E": "e"}, ends={"E": "compensated"}, deadline_s=1e-9
    )
    event = flow.read(record((("ce_type", b"E"), ("ce_subject", b"1"))))

    assert event is not None
    assert (True, "e", "compensated") == (event.starts, event.step, event.outcome)


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan")])
def test_a_deadline_that_is_not_positive_is_refused(deadline_s: float) -> None:
    with pytest.raises(ValueError, match="deadline_s must be positive"):
        SagaFlow(name="f", start="E", ends={"E": "failed"}, deadline_s=deadline_s)


@pytest.mark.parametrize("deadline_s", [float("inf"), 1e12])
def test_a_deadline_beyond_any_clock_is_refused(deadline_s: float) -> None:
    with pytest.raises(ValueError, match="deadline_s"):
        SagaFlow(name="f", start="E", ends={"E": "failed"}, deadline_s=deadline_s)


@pytest.mark.parametrize("step", ["", "x" * 129, "a\0b"])
def test_a_step_that_cannot_be_a_label_is_refused(step: str) -> None:
    with pytest.raises(ValueError, match="step"):
        SagaFlow(name="f", start="S", steps={"E": step}, ends={"E": "failed"}, deadline_s=1.0)
