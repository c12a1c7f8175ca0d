from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

import tracing
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.events import OrderPlaced, OrderShipped, PaymentDeclined
from demo_pipeline.domain.schemas import committed
from demo_pipeline.domain.topics import TOPIC_OF
from tests.demo_pipeline.domain.messages import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from demo_pipeline.domain.messages import Message

# What the producer adds.
_SENDER = [("ce_source", b"/test")]
_PLACED: Final = tracing.cloudevent(type="OrderPlaced", id="1", source="/test")
_CODEC: Final = Codec()


def _at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


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


def _encoded(message: Message) -> bytes:
    encoded: bytes = _CODEC.encode(message)
    return encoded


def _decoded(value: bytes | None, headers: Any) -> Message | None:
    decoded: Message | None = _at_once(_CODEC.decode(_record(value, headers)))
    return decoded


@settings(deadline=None)
@given(MESSAGES)
def test_a_message_of_any_type_is_decoded_as_it_was_encoded(message: Message) -> None:
    assert message == _decoded(_encoded(message), [*headers_of(message), *_SENDER])


def test_a_value_begins_with_a_zero_byte_and_the_committed_id_of_its_schema(
    make_order: Callable[..., Any],
) -> None:
    schema_id = committed().id_of(committed().released("PaymentDeclined"))
    value = _encoded(PaymentDeclined(make_order(), "no"))
    assert b"\x00" + schema_id.to_bytes(4, "big") == value[:5]


@pytest.mark.parametrize("written", [1, 2, 3])
@pytest.mark.parametrize("read", [1, 2, 3])
def test_old_and_new_readers_read_old_and_new_records(
    make_order: Callable[..., Any], written: int, read: int
) -> None:
    placed = OrderPlaced(make_order(), "phone", date(2026, 12, 24))
    value = Codec(writes={"OrderPlaced": (written,)}).encode(placed)
    codec = Codec(reads={"OrderPlaced": read})
    message = _at_once(codec.decode(_record(value, [*headers_of(placed), *_SENDER])))
    both = min(written, read)
    assert message == OrderPlaced(
        make_order(), "phone" if both >= 2 else "web", date(2026, 12, 24) if both >= 3 else None
    )


@settings(deadline=None)
@given(message=MESSAGES, data=st.data())
def test_every_released_version_is_read_with_every_other_one(
    message: Message, data: st.DataObject
) -> None:
    name = type(message).__name__
    version = st.integers(1, committed().released(name).version or 1)
    writer = Codec(writes={name: (data.draw(version),)})
    value = writer.encode(message)
    codec = Codec(reads={name: data.draw(version)})
    read = _at_once(codec.decode(_record(value, [*headers_of(message), *_SENDER])))
    assert message.order == read.order


def test_several_versions_are_written_in_turn(make_order: Callable[..., Any]) -> None:
    codec, placed = Codec(writes={"OrderPlaced": (1, 3)}), OrderPlaced(make_order())
    values = [codec.encode(placed) for _ in range(3)]
    assert values[0] == values[2]
    assert [
        committed().id_of(committed().released("OrderPlaced", version)) for version in (1, 3)
    ] == [int.from_bytes(value[1:5]) for value in values[:2]]


def test_headers_say_that_the_value_is_avro(make_order: Callable[..., Any]) -> None:
    assert b"application/avro" == dict(headers_of(OrderPlaced(make_order())))["content-type"]


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
    assert None is _decoded(b"not even Avro", headers)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, tracing.UndecodableRecord, r"orders\.events\[0\] is an empty message"),
        (b"", tracing.UndecodableRecord, "is an empty message"),
        (b"\x00\x00\x00", tracing.UndecodableRecord, "does not begin with the id of a schema"),
        (b'{"order": 5}', tracing.UndecodableRecord, "does not begin with the id of a schema"),
        (b"\x00\x7f\xff\xff\xff", tracing.UnknownSchema, "the schema with id 2147483647, which"),
    ],
)
def test_a_value_without_a_schema_is_undecodable(
    value: bytes | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _decoded(value, _PLACED)


def test_a_value_of_another_type_than_its_header_says_is_undecodable(
    make_order: Callable[..., Any],
) -> None:
    value = _encoded(OrderShipped(make_order(), "s"))
    message = r"is a demo_pipeline\.OrderShipped, but its header ce_type says OrderPlaced"
    with pytest.raises(tracing.UndecodableRecord, match=message):
        _decoded(value, _PLACED)


def test_a_value_that_is_cut_off_or_too_long_is_undecodable(make_order: Callable[..., Any]) -> None:
    value = _encoded(OrderPlaced(make_order()))
    for length in range(5, len(value)):
        with pytest.raises(
            tracing.UndecodableRecord, match=r"OrderPlaced version 3\), and does not fit"
        ):
            _decoded(value[:length], _PLACED)
    with pytest.raises(tracing.UndecodableRecord, match=r"longer than .*; bytes left over: 1"):
        _decoded(value + b"!", _PLACED)


@settings(deadline=None)
@given(
    name=st.sampled_from([message.__name__ for message in TOPIC_OF]),
    data=st.binary() | st.binary(max_size=400).map(lambda data: b"\x00\x00\x00\x00\x09" + data),
)
def test_any_bytes_are_a_message_or_undecodable(name: str, data: bytes) -> None:
    try:
        message = _decoded(data, tracing.cloudevent(type=name, id="1", source="/test"))
    except tracing.UndecodableRecord:
        return
    assert name == type(message).__name__


@settings(deadline=None)
@given(message=MESSAGES, changes=st.dictionaries(st.integers(0, 400), st.integers(0, 255)))
def test_any_change_of_a_value_leaves_a_message_or_something_undecodable(
    message: Message, changes: dict[int, int]
) -> None:
    value = bytearray(_encoded(message))
    for at, byte in changes.items():
        value[at % len(value)] = byte
    try:
        read = _decoded(bytes(value), [*headers_of(message), *_SENDER])
    except tracing.UndecodableRecord:
        return
    assert type(message) is type(read)


def test_the_reason_repeats_nothing_of_the_content(make_order: Callable[..., Any]) -> None:
    value = _encoded(OrderPlaced(make_order())).replace(b"Harbour", b"Harb\xff\xfer")
    with pytest.raises(
        tracing.UndecodableRecord, match=r"OrderPlaced .*\(UnicodeDecodeError\)"
    ) as raised:
        _decoded(value, _PLACED)
    assert "Harb" not in str(raised.value)
