"""confluent-kafka's serializers, sync and async, with its in-memory registry and without one."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from confluent_kafka import DeserializingConsumer, SerializingProducer
from confluent_kafka.schema_registry import (
    AsyncSchemaRegistryClient,
    Schema,
    SchemaRegistryClient,
    SchemaRegistryError,
    header_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import (
    AsyncAvroDeserializer,
    AsyncAvroSerializer,
    AvroDeserializer,
    AvroSerializer,
)
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import given, settings
from hypothesis import strategies as st

from demo_pipeline.broker import create_topics
from tests.tracing.schemas.decoding import Meter, framed
from tracing import Schemas, Telemetry, UndecodableRecord, UnknownSchema
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER: Final = {"id": "o-1", "note": "secret"}
V1: Final = json.dumps(
    {
        "type": "record",
        "name": "OrderPlaced",
        "namespace": "shop",
        "fields": [{"name": "id", "type": "string"}, {"name": "note", "type": "string"}],
    }
)
V2: Final = V1.replace('"fields": [', '"fields": [{"name": "n", "type": "int", "default": 7}, ')
SUBJECT: Final = "orders-value"
# The default strategy asks a registry for more than the schema.
BY_RECORD: Final = {"subject.name.strategy.type": "RECORD"}


def _context(headers: Any = None, field: MessageField = MessageField.VALUE) -> Any:
    return SerializationContext("orders", field, headers)


class _Sync:
    """The sync serializers, as async functions; what they call is sync all the same."""

    def __init__(self) -> None:
        self.client = SchemaRegistryClient.new_client({"url": "mock://"})

    async def register(self, schema: str, subject: str = SUBJECT) -> int:
        return self.client.register_schema(subject, Schema(schema, "AVRO"))

    async def serializer(self, schemas: Schemas, schema: str, **conf: Any) -> Any:
        made = schemas.serializer(AvroSerializer(self.client, schema, conf=conf))
        return _awaited(made)

    async def deserializer(self, schemas: Schemas, schema: str | None = None) -> Any:
        return _awaited(schemas.deserializer(AvroDeserializer(self.client, schema)))


class _Async:
    def __init__(self) -> None:
        self.client = AsyncSchemaRegistryClient.new_client({"url": "mock://"})

    async def register(self, schema: str, subject: str = SUBJECT) -> int:
        return await self.client.register_schema(subject, Schema(schema, "AVRO"))

    async def serializer(self, schemas: Schemas, schema: str, **conf: Any) -> Any:
        return schemas.serializer(await AsyncAvroSerializer(self.client, schema, conf=conf))

    async def deserializer(self, schemas: Schemas, schema: str | None = None) -> Any:
        return schemas.deserializer(await AsyncAvroDeserializer(self.client, schema))


def _awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


@pytest.fixture(params=[_Sync, _Async])
def registry(request: pytest.FixtureRequest) -> Any:
    return request.param()


async def test_what_they_write_and_read_is_counted_by_subject_and_version(
    registry: Any, telemetry: Telemetry, meter: Meter
) -> None:
    schemas = Schemas(telemetry, registry.client)
    await registry.register(V1)
    write = await registry.serializer(schemas, V2)
    read = await registry.deserializer(schemas)
    value = await write({**ORDER, "n": 1}, _context())
    again = [await read(value, _context()) for _ in range(2)]

    assert [{**ORDER, "n": 1}] * 2 == again
    expected = {(SUBJECT, "2", "written"): 1, (SUBJECT, "2", "read"): 2}
    assert await eventually(lambda: meter.counts() == expected)
    assert 0 == meter.faults()


async def test_the_id_in_a_header_is_read_as_well(
    registry: Any, telemetry: Telemetry, meter: Meter
) -> None:
    schemas = Schemas(telemetry, registry.client)
    write = await registry.serializer(
        schemas, V1, **{"schema.id.serializer": header_schema_id_serializer}
    )
    headers: list[tuple[str, bytes]] = []
    value = await write(ORDER, _context(headers))
    read = await registry.deserializer(schemas)

    assert ORDER == await read(value, _context(headers))
    assert ["__value_schema_id"] == [name for name, _ in headers]
    expected = {(SUBJECT, "1", "written"): 1, (SUBJECT, "1", "read"): 1}
    assert await eventually(lambda: meter.counts() == expected)


async def test_tombstones_pass(registry: Any, telemetry: Telemetry, meter: Meter) -> None:
    schemas = Schemas(telemetry, registry.client)
    write = await registry.serializer(schemas, V1)
    read = await registry.deserializer(schemas)

    assert [None, None] == [await write(None, _context()), await read(None, _context())]
    assert {} == meter.counts()


async def test_keys_are_counted_as_keys(registry: Any, telemetry: Telemetry, meter: Meter) -> None:
    schemas = Schemas(telemetry, registry.client)
    write = await registry.serializer(schemas, V1)
    await write(ORDER, _context(field=MessageField.KEY))

    assert await eventually(lambda: meter.counts() == {("orders-key", "1", "written"): 1})


async def test_an_id_that_the_registry_does_not_know_is_no_reason_to_try_again(
    registry: Any, telemetry: Telemetry, meter: Meter
) -> None:
    read = await registry.deserializer(Schemas(telemetry, registry.client))

    with pytest.raises(UnknownSchema) as raised:
        await read(framed(4711), _context())

    assert str(raised.value).startswith(
        "a record of orders cannot be decoded: its value names the schema with id 4711, which the "
        "schema registry does not know (confluent_kafka.schema_registry.error.SchemaRegistryError)"
    )
    assert {("unknown", "unknown", "unknown_id"): 1} == meter.counts()


@pytest.mark.parametrize("value", [b"", b"\0", b'{"id": "o-1"}', b"\x05aaaaaaaaaaaaaaaaaa"])
async def test_bytes_without_an_id_are_undecodable(
    registry: Any, telemetry: Telemetry, meter: Meter, value: bytes
) -> None:
    read = await registry.deserializer(Schemas(telemetry, registry.client))

    with pytest.raises(UndecodableRecord, match="does not begin with the id of a schema"):
        await read(value, _context())

    assert {("unknown", "unknown", "undecodable"): 1} == meter.counts()


async def test_a_reader_that_is_not_compatible_is_undecodable_and_named(
    registry: Any, telemetry: Telemetry, meter: Meter
) -> None:
    schemas = Schemas(telemetry, {1: (SUBJECT, 1)}, reader_versions={SUBJECT: 2})
    write = await registry.serializer(schemas, V1)
    read = await registry.deserializer(schemas, V2.replace(', "default": 7', ""))
    value = await write(ORDER, _context())

    with pytest.raises(UndecodableRecord) as raised:
        await read(value, _context())

    assert (
        "a record of orders cannot be decoded: its value names the schema with id 1 (orders-value "
        "version 1), and does not fit it (fastavro._read.SchemaResolutionError). Either the "
        "reader's version 2 is not compatible"
    ) in str(raised.value).replace("_read_common", "_read")
    assert 1 == meter.counts()[SUBJECT, "1", "undecodable"]


def test_whatever_follows_the_id_it_is_read_or_undecodable(telemetry: Telemetry) -> None:
    client = SchemaRegistryClient.new_client({"url": "mock://"})
    schema_id = client.register_schema(SUBJECT, Schema(V1, "AVRO"))
    read = Schemas(telemetry, {schema_id: (SUBJECT, 1)}).deserializer(AvroDeserializer(client))

    @settings(deadline=None)
    @given(payload=st.binary())
    def decode(payload: bytes) -> None:
        try:
            order: Any = read(framed(schema_id, payload), _context())
        except UndecodableRecord as error:
            assert error.schema_id == schema_id  # noqa: PT017 - it is raised or not
        else:
            assert {"id", "note"} == order.keys()

    decode()


class _Answers:
    """A registry on this machine that gives one answer to all requests."""

    def __init__(self, status: str, body: bytes) -> None:
        self._answer = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
            status.encode(),
            len(body),
            body,
        )

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._answer)
        await writer.drain()
        writer.close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("503 Unavailable", b'{"error_code": 50003, "message": "no leader"}'),
        ("401 Unauthorized", b'{"error_code": 40101, "message": "who is there?"}'),
        ("404 Not Found", b'{"error_code": 40401, "message": "no such subject"}'),
        ("404 Not Found", b"<html>a proxy has no such page</html>"),
        ("200 OK", b"<html>please log in</html>"),
        ("200 OK", b'{"schema": "{}"}'),
        ("200 OK", b'{"schema": "no schema"}'),
        ("200 OK", json.dumps({"schema": V1.replace("string", "strong")}).encode()),
        ("200 OK", b"[]"),
    ],
)
async def test_a_registry_that_answers_wrongly_leaves_the_record_to_be_tried_again(
    telemetry: Telemetry, meter: Meter, status: str, body: bytes
) -> None:
    server = await asyncio.start_server(_Answers(status, body), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = AsyncSchemaRegistryClient({"url": f"http://127.0.0.1:{port}", "max.retries": 0})
    async with server, client:
        read = Schemas(telemetry, client).deserializer(
            await AsyncAvroDeserializer(client, conf=BY_RECORD)
        )
        with pytest.raises(Exception) as raised:  # noqa: PT011 - of many types
            await read(framed(1), _context())

    assert not isinstance(raised.value, UndecodableRecord)
    assert {} == meter.counts()


async def test_a_registry_that_is_down_leaves_the_record_to_be_tried_again(
    telemetry: Telemetry, meter: Meter
) -> None:
    client = AsyncSchemaRegistryClient({"url": "http://127.0.0.1:1", "max.retries": 0})
    async with client:
        read = Schemas(telemetry, client).deserializer(await AsyncAvroDeserializer(client))
        with pytest.raises(Exception, match="connect") as raised:
            await read(framed(1), _context())

    assert not isinstance(raised.value, UndecodableRecord)
    assert {} == meter.counts()


@pytest.mark.parametrize(
    ("schema_id", "code"), [(1, 40403), (2**32 - 1, 404), (2**32 - 1, 0)], ids=str
)
async def test_a_registrys_own_answer_that_an_id_is_unknown_is_one(
    telemetry: Telemetry, meter: Meter, schema_id: int, code: int
) -> None:
    body = json.dumps({"error_code": code, "message": "not found"}).encode()
    server = await asyncio.start_server(_Answers("404 Not Found", body), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = AsyncSchemaRegistryClient({"url": f"http://127.0.0.1:{port}", "max.retries": 0})
    async with server, client:
        read = Schemas(telemetry, client).deserializer(
            await AsyncAvroDeserializer(client, conf=BY_RECORD)
        )
        with pytest.raises(UnknownSchema) as raised:
            await read(framed(schema_id), _context())

    assert isinstance(raised.value.__cause__, SchemaRegistryError)
    assert {("unknown", "unknown", "unknown_id"): 1} == meter.counts()


@pytest.mark.parametrize("client", [SchemaRegistryClient, AsyncSchemaRegistryClient])
@pytest.mark.parametrize(
    ("registered", "counted"),
    [
        ([("archive-value", 9), ("orders-added", 5), ("orders-value", 4)], (SUBJECT, "4")),
        ([("archive-value", 9), ("orders-shop.Order", 1)], ("orders-shop.Order", "1")),
        ([("shop.Order", 1), ("shop.Order", 3)], ("shop.Order", "3")),
        ([], ("unknown", "unknown")),
    ],
)
async def test_a_registry_is_asked_by_id_and_the_records_topic_chooses_among_its_answers(
    telemetry: Telemetry,
    meter: Meter,
    client: Callable[[Any], Any],
    registered: list[tuple[str, int]],
    counted: tuple[str, str],
) -> None:
    body = json.dumps([{"subject": name, "version": number} for name, number in registered])
    server = await asyncio.start_server(_Answers("200 OK", body.encode()), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    schemas = Schemas(telemetry, client({"url": f"http://127.0.0.1:{port}", "max.retries": 0}))
    async with server:
        schemas.written(framed(1), topic="orders")

        assert await eventually(lambda: meter.counts() == {(*counted, "written"): 1})
    assert 0 == meter.faults()


async def test_a_registry_that_does_not_know_an_id_leaves_the_version_unknown(
    telemetry: Telemetry, meter: Meter
) -> None:
    body = b'{"error_code": 40403, "message": "Schema 1 not found"}'
    server = await asyncio.start_server(_Answers("404 Not Found", body), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = AsyncSchemaRegistryClient({"url": f"http://127.0.0.1:{port}", "max.retries": 0})
    async with server, client:
        Schemas(telemetry, client).written(framed(1))

        assert await eventually(lambda: meter.counts() == {("unknown", "unknown", "written"): 1})
    assert 0 == meter.faults()


@pytest.mark.kafka
@pytest.mark.integration
def test_confluents_own_clients_take_them_in_place_of_serializers(
    kafka_servers: str, telemetry: Telemetry, meter: Meter
) -> None:
    topic = f"orders-{uuid4().hex}"
    asyncio.run(create_topics(kafka_servers, {topic: 1}))
    registry = SchemaRegistryClient.new_client({"url": "mock://"})
    schemas = Schemas(telemetry, registry)
    producer = SerializingProducer(
        {
            "bootstrap.servers": kafka_servers,
            "value.serializer": schemas.serializer(AvroSerializer(registry, V1)),
        }
    )
    consumer = DeserializingConsumer(
        {
            "bootstrap.servers": kafka_servers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "value.deserializer": schemas.deserializer(AvroDeserializer(registry)),
        }
    )
    consumer.subscribe([topic])
    try:
        producer.produce(topic, value=ORDER)
        producer.produce(topic, value=None, key="k")
        assert 0 == producer.flush(30)
        messages: list[Any] = [consumer.poll(30) for _ in range(2)]
    finally:
        consumer.close()

    assert [ORDER, None] == [message.value() for message in messages if message is not None]
    expected = {(f"{topic}-value", "1", outcome): 1 for outcome in ("written", "read")}
    while meter.counts() != expected:
        threading.Event().wait(0.001)
