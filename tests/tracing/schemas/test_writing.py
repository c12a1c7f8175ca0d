"""Encoding: it is counted, and the span of the send names the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.schemas.decoding import VERSIONS, Meter, framed
from tracing import Schemas
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tracing.conftest import Clients, _InMemory
    from tracing import Telemetry
    from tracing.testing import Capture

WRITTEN = {("shop.OrderPlaced", "2", "written"): 1}
ON_SPAN = {
    "pipeline.schema.id": "2",
    "pipeline.schema.subject": "shop.OrderPlaced",
    "pipeline.schema.version": 2,
}


def encode(order: str) -> bytes:
    return framed(2, order.encode())


def schema_on(capture: Capture, span: str) -> list[dict[str, object]]:
    """Return what the spans with a name say of schemas."""
    return [
        {key: value for key, value in (each.attributes or {}).items() if "schema" in key}
        for each in capture.spans()
        if each.name.startswith(span)
    ]


async def test_bytes_that_are_encoded_before_they_are_sent_are_named_on_the_span_of_the_send(
    memory: _InMemory, capture: Capture, meter: Meter
) -> None:
    schemas = Schemas(memory.telemetry, VERSIONS)
    producer = await memory.producer()

    value = schemas.serializer(encode)("o-1")
    await producer.send_and_wait(await memory.topic(), value)

    assert framed(2, b"o-1") == value
    assert WRITTEN == meter.counts()
    assert [ON_SPAN] == schema_on(capture, "send")


@pytest.mark.parametrize("method", ["send", "send_and_wait"])
async def test_a_producers_own_serializer_is_named_on_the_span_of_the_send(
    clients: Clients, capture: Capture, meter: Meter, method: str
) -> None:
    schemas = Schemas(clients.telemetry, VERSIONS)
    producer = await clients.producer(
        value_serializer=schemas.serializer(encode),
        key_serializer=schemas.serializer(lambda key: framed(3, key), key=True),
    )
    topic = await clients.topic()

    sent = await getattr(producer, method)(topic, "o-1", key=b"k")
    if method == "send":
        await sent

    assert {**WRITTEN, ("shop.OrderCancelled", "1", "written"): 1} == meter.counts()
    assert [ON_SPAN] == schema_on(capture, "send")


async def test_a_serializer_that_is_called_outside_of_a_send_leaves_the_last_span_alone(
    memory: _InMemory, capture: Capture
) -> None:
    schemas = Schemas(memory.telemetry, VERSIONS)
    write = schemas.serializer(encode)
    producer = await memory.producer(value_serializer=write)
    topic = await memory.topic()

    with memory.broker.hold_acks():
        sent = await producer.send(topic, "o-1")
        schemas.serializer(lambda order: framed(3, order))(b"o-2")
    await sent

    assert [ON_SPAN] == schema_on(capture, "send")


async def test_bytes_that_name_no_known_schema_are_not_described(
    memory: _InMemory, capture: Capture
) -> None:
    Schemas(memory.telemetry, VERSIONS)
    producer = await memory.producer()
    topic = await memory.topic()
    for value in (b"plain", framed(77), None):
        await producer.send_and_wait(topic, value, key=b"k")

    assert [{}, {}, {}] == schema_on(capture, "send")


async def test_a_serializer_that_learns_no_topic_looks_up_for_the_send(
    memory: _InMemory, capture: Capture, meter: Meter
) -> None:
    async def lookup(schema_id: int) -> tuple[str, int]:
        return VERSIONS[schema_id]

    write = Schemas(memory.telemetry, lookup).serializer(encode)
    producer = await memory.producer()
    write("o-0")
    assert await eventually(lambda: meter.counts() == WRITTEN)

    await producer.send_and_wait(await memory.topic(), write("o-1"))

    assert [ON_SPAN] == schema_on(capture, "send")


async def test_a_hand_written_encoder_reports_what_it_has_made(
    telemetry: Telemetry, meter: Meter
) -> None:
    schemas = Schemas(telemetry, VERSIONS)
    schemas.written(framed(2), topic="orders")
    schemas.written(None, topic="orders")
    schemas.written(b"plain", topic="orders")

    assert {**WRITTEN, ("unknown", "unknown", "written"): 1} == meter.counts()


def _none(_order: str) -> bytes | None:
    return None


def _fails(_order: str) -> bytes | None:
    raise ValueError("no such field")


def test_tombstones_and_errors_of_a_serializer_pass_and_are_not_counted(
    telemetry: Telemetry, meter: Meter
) -> None:
    schemas = Schemas(telemetry, VERSIONS)

    assert None is schemas.serializer(_none)("o-1")
    with pytest.raises(ValueError, match="no such field"):
        schemas.serializer(_fails)("o-1")
    assert {} == meter.counts()


class _Object:
    """A serializer that is an object, as Confluent's are."""

    label = "mine"

    def __call__(self, order: str, ctx: Any = None) -> bytes:
        return encode(order)


def test_a_stand_in_has_the_attributes_of_what_it_stands_for(telemetry: Telemetry) -> None:
    schemas = Schemas(telemetry, VERSIONS)

    assert "mine" == schemas.serializer(_Object()).label
    assert not hasattr(schemas.serializer(encode), "set_cluster_id_resolver")
    assert "<Serializer encode>" == repr(schemas.serializer(encode))


@pytest.mark.parametrize("wrapped", [Schemas.serializer, Schemas.deserializer])
def test_wrapping_twice_does_not_count_twice(
    telemetry: Telemetry, meter: Meter, wrapped: Callable[[Schemas, Any], Any]
) -> None:
    schemas = Schemas(telemetry, VERSIONS)
    once = wrapped(schemas, lambda _: framed(2))

    assert once is wrapped(schemas, once)
    once(framed(2))
    assert [1] == list(meter.counts().values())


@pytest.mark.parametrize("wrapped", [Schemas.serializer, Schemas.deserializer])
def test_what_cannot_be_called_is_refused(
    telemetry: Telemetry, wrapped: Callable[[Schemas, Any], Any]
) -> None:
    with pytest.raises(TypeError, match="must be callable, not str"):
        wrapped(Schemas(telemetry), "avro")
