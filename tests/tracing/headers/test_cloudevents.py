"""CloudEvents headers: complete and readable; foreign ones never raise."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing import CloudEvent, cloudevent
from tracing.headers.cloudevents import Completion


def test_headers_of_an_event_are_read_back() -> None:
    headers = cloudevent(
        type="OrderPlaced",
        source="/orders",
        id="1",
        subject="order-7",
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        content_type="application/json",
    )

    expected = CloudEvent(
        id="1",
        source="/orders",
        type="OrderPlaced",
        subject="order-7",
        time="2026-01-02T03:04:05Z",
        content_type="application/json",
    )
    assert expected == CloudEvent.from_headers(headers)
    assert ("ce_specversion", b"1.0") in headers


def test_an_event_needs_a_type() -> None:
    with pytest.raises(ValueError, match="needs a type"):
        cloudevent(type="")


def test_a_time_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        cloudevent(type="X", time=datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake itself


def test_missing_attributes_are_added_and_present_ones_stay() -> None:
    completion = Completion(b"/orders", "orders.events")
    given = cloudevent(type="OrderPlaced", id="mine")

    completed = list(given)
    completion.add_to(completed, dict(given), 1_700_000_000_123)

    event = CloudEvent.from_headers(completed)
    assert event is not None
    assert (event.id, event.source, event.type) == ("mine", "/orders", "OrderPlaced")
    assert event.time == "2023-11-14T22:13:20.123Z"
    assert len({name for name, _ in completed}) == len(completed)


def test_bare_messages_become_events_with_ids_of_their_own() -> None:
    completion = Completion(b"/orders", "orders.events")

    events = []
    for _ in range(100):
        headers: list[tuple[str, bytes | None]] = []
        completion.add_to(headers, {}, 0)
        events.append(CloudEvent.from_headers(headers))

    assert {"orders.events"} == {event.type for event in events if event}
    assert len({event.id for event in events if event}) == 100


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type"])
def test_without_a_required_attribute_there_is_no_event(missing: str) -> None:
    headers = [
        (name, value)
        for name, value in cloudevent(type="X", id="1", source="/s")
        if name != missing
    ]

    assert CloudEvent.from_headers(headers) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"]),
            st.one_of(st.binary(), st.none(), st.binary(min_size=2000, max_size=3000)),
        )
    )
)
def test_any_headers_give_an_event_or_none(headers: list[tuple[str, bytes | None]]) -> None:
    event = CloudEvent.from_headers(headers)
    assert event is None or event.id
