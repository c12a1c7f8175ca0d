from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka.structs import ConsumerRecord

import tracing
from demo_pipeline.domain.codec import decode, encode, headers_of
from demo_pipeline.domain.events import OrderPlaced, OrderShipped, PaymentDeclined

if TYPE_CHECKING:
    from collections.abc import Callable


# What the producer adds.
_SENDER = [("ce_source", b"/test")]


def _record(value: bytes | None, headers: Any) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(
        topic="orders.events",
        partition=0,
        offset=0,
        timestamp=0,
        timestamp_type=0,
        key=b"user-07",
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=headers,
    )


def test_an_event_is_decoded_as_it_was_encoded(make_order: Callable[..., Any]) -> None:
    for event in (OrderPlaced(make_order()), PaymentDeclined(make_order(), "no")):
        assert event == decode(_record(encode(event), [*headers_of(event), *_SENDER]))


def test_fields_that_a_newer_writer_adds_are_skipped(make_order: Callable[..., Any]) -> None:
    event = OrderPlaced(make_order())
    fields = msgspec.json.decode(encode(event))
    value = msgspec.json.encode({**fields, "gift": True})
    assert event == decode(_record(value, [*headers_of(event), *_SENDER]))


def test_an_event_that_is_sent_again_is_the_same_event(make_order: Callable[..., Any]) -> None:
    def identity(event: Any) -> str:
        envelope = tracing.CloudEvent.from_headers([*headers_of(event), *_SENDER])
        assert envelope is not None
        return envelope.id

    placed = OrderPlaced(make_order())
    assert identity(placed) == identity(OrderPlaced(make_order()))
    assert identity(placed) != identity(OrderPlaced(make_order("o-2")))
    assert identity(placed) != identity(OrderShipped(make_order(), "s"))


@pytest.mark.parametrize(
    "headers", [(), tracing.cloudevent(type="SomethingElse", id="1", source="/test")]
)
def test_a_record_of_an_unknown_type_is_no_event(headers: Any) -> None:
    assert None is decode(_record(b"not even JSON", headers))


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"{}",
        b'{"order": 5}',
        pytest.param(b'{"order": ' + b"[" * 100_000, id="nested"),
    ],
)
def test_a_record_with_a_wrong_type_is_an_error(value: bytes | None) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(_record(value, tracing.cloudevent(type="OrderPlaced", id="1", source="/test")))
