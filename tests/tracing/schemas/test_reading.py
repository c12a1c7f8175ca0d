"""Decoding with a plain function: it is counted, on the span, and a failure says what is wrong."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

import tracing
from tests.tracing.schemas.decoding import VERSIONS, Meter, decode, framed
from tracing import Schemas, UndecodableRecord, UnknownSchema

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tracing.conftest import _InMemory
    from tracing import Telemetry
    from tracing.testing import Capture

SCHEMA = "pipeline.schema"
MISFIT = (
    "orders[0] offset 0 cannot be decoded: its value names the schema with id 2 "
    "(shop.OrderPlaced version 2), and does not fit it (UnicodeDecodeError). Either the "
    "reader's version 1 is not compatible with the written one: correct it, and replay this "
    "dead letter. Or the bytes are damaged: correct their producer."
)
UNKNOWN = (
    "orders[0] offset 0 cannot be decoded: its value names the schema with id 9, which the "
    "schema registry does not know (KeyError). Its producer uses another registry, or the "
    "schema was deleted: register it again under this id, and replay this dead letter. Or "
    "the bytes are damaged: correct their producer."
)
NO_ID = (
    "orders[0] offset 0 cannot be decoded: its value does not begin with the id of a schema, "
    "so it was not written by a serializer for a schema registry, or is damaged. Correct its "
    "producer, or read this topic without a schema registry."
)


async def _handle(
    memory: _InMemory, value: bytes | None, handler: Callable[[Any], Any], key: bytes = b"k"
) -> Any:
    topic = await memory.topic()
    producer = await memory.producer()
    await producer.send_and_wait(topic, value, key=key, partition=0)
    consumer = await memory.consumer(topic, group="g")
    record = await consumer.getone()
    async with consumer.process(record):
        answer = handler(record)
        return await answer if inspect.isawaitable(answer) else answer


def _schema_attributes(capture: Capture) -> dict[str, object]:
    (span,) = [each for each in capture.spans() if each.name.startswith("process")]
    attributes = span.attributes or {}
    return {name: value for name, value in attributes.items() if name.startswith(SCHEMA)}


async def test_a_record_that_is_read_is_counted_and_its_span_names_the_schema(
    memory: _InMemory, capture: Capture, meter: Meter
) -> None:
    schemas = Schemas(memory.telemetry, VERSIONS, reader_versions={"shop.OrderPlaced": 1})
    read = schemas.deserializer(decode)

    assert "ok" == await _handle(memory, framed(2), lambda record: read(record.value))

    assert {("shop.OrderPlaced", "2", "read"): 1} == meter.counts()
    assert {
        "pipeline.schema.id": "2",
        "pipeline.schema.subject": "shop.OrderPlaced",
        "pipeline.schema.version": 2,
        "pipeline.schema.reader.version": 1,
    } == _schema_attributes(capture)


async def test_the_readers_version_is_absent_where_it_is_the_written_one(
    memory: _InMemory, capture: Capture
) -> None:
    schemas = Schemas(memory.telemetry, VERSIONS, reader_versions={"shop.OrderPlaced": 2})

    await _handle(memory, framed(2), lambda record: schemas.deserializer(decode)(record.value))

    assert "pipeline.schema.reader.version" not in _schema_attributes(capture)
    assert 2 == _schema_attributes(capture)["pipeline.schema.version"]


def _unchanged(value: bytes | None) -> bytes | None:
    return value


async def test_a_tombstone_passes_and_is_not_counted(
    memory: _InMemory, capture: Capture, meter: Meter
) -> None:
    schemas = Schemas(memory.telemetry, VERSIONS)
    read = schemas.deserializer(_unchanged)

    assert None is await _handle(memory, None, lambda record: read(record.value))

    assert {} == meter.counts()
    assert {} == _schema_attributes(capture)


def test_the_counters_of_failures_are_0_from_the_start(telemetry: Telemetry, meter: Meter) -> None:
    schemas = Schemas(telemetry, VERSIONS)
    from_start = meter.series()
    schemas.deserializer(decode)(framed(1))

    zeros = {
        ("unknown", "unknown", "unknown_id"): 0,
        ("unknown", "unknown", "undecodable"): 0,
    }
    assert zeros == from_start
    read = {("shop.OrderPlaced", "1", "read"): 1, ("shop.OrderPlaced", "1", "undecodable"): 0}
    assert {**zeros, **read} == meter.series()


@pytest.mark.parametrize(
    ("value", "kind", "counted", "message"),
    [
        (
            framed(2, b"\xff"),
            UndecodableRecord,
            ("shop.OrderPlaced", "2", "undecodable"),
            MISFIT,
        ),
        (
            framed(9),
            UnknownSchema,
            ("unknown", "unknown", "unknown_id"),
            UNKNOWN,
        ),
        (
            b"{secret}",
            UndecodableRecord,
            ("unknown", "unknown", "undecodable"),
            NO_ID,
        ),
    ],
)
async def test_bytes_that_cannot_be_decoded_raise_an_error_that_says_what_is_wrong(
    memory: _InMemory,
    meter: Meter,
    value: bytes,
    kind: type[Exception],
    counted: tuple[str, str, str],
    message: str,
) -> None:
    schemas = Schemas(memory.telemetry, VERSIONS, reader_versions={"shop.OrderPlaced": 1})
    read = schemas.deserializer(decode)

    with pytest.raises(UndecodableRecord) as raised:
        await _handle(memory, value, lambda record: read(record.value))

    assert (kind, message) == (type(raised.value), str(raised.value))
    assert {counted: 1} == meter.counts()
    assert isinstance(raised.value, tracing.Unprocessable)
    assert len(message) < 1024


class _DownError(ConnectionError):
    pass


@pytest.mark.parametrize(
    "error",
    [
        _DownError("no registry at 10.0.0.1"),
        TimeoutError(),
        tracing.Rejected("no stock"),
        tracing.Unprocessable("too old"),
        AttributeError("a typing mistake"),
        RuntimeError("client is closed"),
        MemoryError(),
    ],
)
def test_an_error_that_says_nothing_of_the_bytes_passes_unchanged_and_is_not_counted(
    telemetry: Telemetry, meter: Meter, error: Exception
) -> None:
    def fail(_value: bytes) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        Schemas(telemetry, VERSIONS).deserializer(fail)(framed(1))

    assert error is raised.value
    assert None is raised.value.__cause__
    assert {} == meter.counts()


def test_an_error_that_the_network_caused_passes_unchanged(
    telemetry: Telemetry, meter: Meter
) -> None:
    def fail(_value: bytes) -> None:
        raise ValueError("no schema") from _DownError()

    with pytest.raises(ValueError, match="no schema"):
        Schemas(telemetry, VERSIONS).deserializer(fail)(framed(1))

    assert {} == meter.counts()


async def test_a_hand_written_decoder_runs_in_a_block(
    memory: _InMemory, capture: Capture, meter: Meter
) -> None:
    schemas = Schemas(memory.telemetry, VERSIONS)

    async def codec(record: Any) -> str:
        with schemas.reading(record):
            await asyncio.sleep(0)
            return decode(record.value)

    assert "ok" == await _handle(memory, framed(3), codec)

    assert {("shop.OrderCancelled", "1", "read"): 1} == meter.counts()


def test_an_error_during_an_error_of_the_network_passes_unchanged(
    telemetry: Telemetry, meter: Meter
) -> None:
    def fail(_value: bytes) -> str:
        try:
            raise _DownError
        except ConnectionError:
            return str(VERSIONS[0])

    with pytest.raises(KeyError):
        Schemas(telemetry, VERSIONS).deserializer(fail)(framed(1))

    assert {} == meter.counts()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("aiohttp.client_exceptions", "ClientError"),
        ("fastavro._schema_common", "SchemaParseException"),
        ("confluent_kafka.schema_registry.error", "SchemaRegistryError"),
    ],
)
def test_errors_of_clients_and_of_schemas_themselves_pass_unchanged(
    telemetry: Telemetry, meter: Meter, module: str, name: str
) -> None:
    base = type(name, (Exception,), {"__module__": module})

    class OwnError(base):  # type: ignore[misc, valid-type]  # made above
        pass

    def fail(_value: bytes) -> None:
        raise OwnError

    with pytest.raises(OwnError):
        Schemas(telemetry, VERSIONS).deserializer(fail)(framed(1))

    assert {} == meter.counts()


def test_bytes_that_are_nested_too_deeply_are_undecodable(
    telemetry: Telemetry, meter: Meter
) -> None:
    def fail(_value: bytes) -> None:
        raise RecursionError

    with pytest.raises(UndecodableRecord):
        Schemas(telemetry, VERSIONS).deserializer(fail)(framed(1))

    assert {("shop.OrderPlaced", "1", "undecodable"): 1} == meter.counts()


async def test_a_key_is_counted_and_is_not_on_the_span(
    memory: _InMemory, capture: Capture, meter: Meter
) -> None:
    schemas = Schemas(memory.telemetry, VERSIONS)
    read = schemas.deserializer(decode, key=True)

    def handler(record: Any) -> str:
        with schemas.reading(record):
            decode(record.value)
        return read(record.key)

    await _handle(memory, framed(1), handler, key=framed(3))

    assert 1 == _schema_attributes(capture)["pipeline.schema.version"]
    assert "shop.OrderPlaced" == _schema_attributes(capture)["pipeline.schema.subject"]
    assert 1 == meter.counts()["shop.OrderCancelled", "1", "read"]


class _Context:
    """A SerializationContext."""

    def __init__(self, topic: str, field: str = "value") -> None:
        self.topic = topic
        self.field = field
        self.headers = None


def _decode_in(value: bytes, _context: object) -> str:
    return decode(value)


@pytest.mark.parametrize(("topic", "noted"), [("orders", True), ("stock", False)])
async def test_bytes_that_were_decrypted_belong_to_the_record_if_the_topic_says_so(
    memory: _InMemory, capture: Capture, topic: str, *, noted: bool
) -> None:
    read = Schemas(memory.telemetry, VERSIONS).deserializer(_decode_in)

    await _handle(memory, b"encrypted", lambda _: read(framed(1), _Context(topic)))

    assert noted == ("pipeline.schema.version" in _schema_attributes(capture))


@pytest.mark.parametrize("how", ["block", "function"])
async def test_the_id_may_be_in_the_records_headers(
    memory: _InMemory, meter: Meter, how: str
) -> None:
    schemas = Schemas(memory.telemetry, VERSIONS)
    topic = await memory.topic()
    producer = await memory.producer()
    headers = [("__value_schema_id", framed(2, b""))]
    await producer.send_and_wait(topic, b"ok", headers=headers, partition=0)
    consumer = await memory.consumer(topic, group="g")
    record = await consumer.getone()
    async with consumer.process(record):
        if how == "function":
            schemas.deserializer(bytes.decode)(record.value or b"")
        else:
            with schemas.reading(record):
                pass

    assert {("shop.OrderPlaced", "2", "read"): 1} == meter.counts()


async def test_an_unknown_id_has_no_subject_even_if_the_lookup_knows_one(
    telemetry: Telemetry, meter: Meter
) -> None:
    schemas = Schemas(telemetry, VERSIONS)

    with pytest.raises(UnknownSchema), schemas.reading(_Record("orders", framed(1))):
        raise UnknownSchema

    assert {("unknown", "unknown", "unknown_id"): 1} == meter.counts()


class _OwnError(UndecodableRecord):
    pass


@pytest.mark.parametrize(
    ("kind", "arguments", "counted", "message"),
    [
        (_OwnError, ("order is cut off",), "undecodable", "order is cut off"),
        (UnknownSchema, (), "unknown_id", "a record of orders cannot be decoded: its value names"),
        (UndecodableRecord, (), "undecodable", "a record of orders cannot be decoded: its value"),
    ],
)
def test_a_hand_written_decoder_may_raise_the_errors_itself(
    telemetry: Telemetry,
    meter: Meter,
    kind: type[UndecodableRecord],
    arguments: tuple[str, ...],
    counted: str,
    message: str,
) -> None:
    schemas = Schemas(telemetry, VERSIONS)
    record = _Record("orders", framed(1))

    with pytest.raises(kind) as raised, schemas.reading(record), schemas.reading(record):
        raise kind(*arguments)

    assert str(raised.value).startswith(message)
    assert raised.value.schema_id == 1
    assert [counted] == [outcome for _, _, outcome in meter.counts()]
    assert [1] == list(meter.counts().values())


class _Record:
    partition: Any = None
    offset: Any = None
    key = None
    headers = ()

    def __init__(self, topic: str, value: bytes) -> None:
        self.topic = topic
        self.value = value
