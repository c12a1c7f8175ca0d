"""Records whose schema is unknown, or that do not fit it, are dead letters with a reason."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracing.conftest import _Real
from tests.tracing.delivery.giving_up import given_up
from tests.tracing.schemas.decoding import VERSIONS, Meter, decode, framed
from tracing import Provenance, Schemas
from tracing.__main__ import main

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _InMemory
    from tracing import Telemetry


@pytest.mark.parametrize(
    ("value", "outcome", "exception", "reason"),
    [
        (framed(9), "unknown_id", "tracing.UnknownSchema", "id 9, which the schema registry does"),
        (framed(2, b"\xff"), "undecodable", "tracing.UndecodableRecord", "(UnicodeDecodeError)"),
    ],
)
async def test_a_record_that_cannot_be_decoded_is_a_dead_letter_at_once_and_says_why(
    clients: Clients, meter: Meter, value: bytes, outcome: str, exception: str, reason: str
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    sent = await producer.send_and_wait(topic, value, partition=1)
    read = Schemas(clients.telemetry, VERSIONS).deserializer(decode)

    async def handler(record: Any) -> None:
        read(record.value)

    (letter,) = await given_up(clients, topic, handler=handler)

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert (value, exception, 1) == (letter.value, provenance.exception, provenance.attempts)
    place = f"{topic}[1] offset {sent.offset}"
    assert provenance.message.startswith(f"{place} cannot be decoded: its value names the schema")
    assert reason in provenance.message
    assert [(outcome, 1)] == [(labels[2], count) for labels, count in meter.counts().items()]


async def test_an_error_of_the_registry_is_tried_again_and_is_the_dead_letters_reason(
    memory: _InMemory, meter: Meter
) -> None:
    topic = await memory.topic()
    await (await memory.producer()).send_and_wait(topic, framed(2))
    attempts: list[bytes] = []

    def down(value: bytes) -> str:
        attempts.append(value)
        raise ConnectionError("no registry at 10.0.0.1")

    read = Schemas(memory.telemetry, VERSIONS).deserializer(down)

    async def handler(record: Any) -> None:
        read(record.value)

    (letter,) = await given_up(memory, topic, handler=handler)

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert ("ConnectionError", 3, 3) == (
        provenance.exception,
        provenance.attempts,
        len(attempts),
    )
    assert {} == meter.counts()


async def test_each_record_of_a_batch_has_its_own_place_and_the_batchs_span_no_schema(
    memory: _InMemory, meter: Meter
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    for value in (framed(1), framed(9)):
        await producer.send_and_wait(topic, value, partition=0)
    consumer = await memory.consumer(topic, group="g")
    batches = await consumer.getmany(timeout_ms=100)
    records: list[Any] = [record for batch in batches.values() for record in batch]
    read = Schemas(memory.telemetry, VERSIONS).deserializer(decode)
    said: list[str] = []
    async with consumer.process_batch(records) as batch:
        for record in records:
            try:
                read(record.value)
            except Exception as error:
                said.append(str(error))

    assert [f"{topic}[0] offset 1"] == [each.partition(" cannot be")[0] for each in said]
    assert {
        ("shop.OrderPlaced", "1", "read"): 1,
        ("unknown", "unknown", "unknown_id"): 1,
    } == meter.counts()
    attributes = getattr(batch.span, "attributes", None) or {}
    assert [] == [name for name in attributes if "schema" in name]


async def test_a_consumers_own_deserializer_counts_and_leaves_spans_of_other_records_alone(
    memory: _InMemory, meter: Meter
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    for value in (framed(1), framed(2), framed(3)):
        await producer.send_and_wait(topic, value, partition=0)
    read = Schemas(memory.telemetry, VERSIONS).deserializer(decode)
    consumer = await memory.consumer(topic, group="g", value_deserializer=read)
    spans = []
    first = await consumer.getone()
    async with consumer.process(first) as processing:
        await consumer.getone()
        spans.append(getattr(processing.span, "attributes", None) or {})

    assert "ok" == first.value
    assert 2 <= sum(meter.counts().values()) <= 3
    assert [] == [name for name in spans[0] if "schema" in name]


@pytest.mark.kafka
@pytest.mark.integration
async def test_the_command_line_shows_the_reason_and_nothing_of_the_payload(
    kafka_servers: str, telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    async with AsyncExitStack() as stack:
        clients = _Real(telemetry, stack)
        clients.servers = kafka_servers
        topic = await clients.topic()
        await (await clients.producer()).send_and_wait(topic, framed(2, b"secret\xff"), partition=1)
        read = Schemas(telemetry, VERSIONS).deserializer(decode)

        async def handler(record: Any) -> None:
            read(record.value)

        (letter,) = await given_up(clients, topic, handler=handler)

    at = ("--bootstrap-servers", kafka_servers)
    shown = f"{letter.topic}/{letter.partition}/{letter.offset}"
    assert 0 == await asyncio.to_thread(main, ["dlq", "show", *at, shown, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert 0 == await asyncio.to_thread(main, ["dlq", "list", *at, "--topic", topic])
    listed = capsys.readouterr().out

    assert "tracing.UndecodableRecord" == document["error"]
    assert document["message"].startswith(
        f"{topic}[1] offset 0 cannot be decoded: its value names the schema with id 2 "
        "(shop.OrderPlaced version 2), and does not fit it (UnicodeDecodeError). Either"
    )
    assert "secret" not in str(document)
    assert "1 dead letter\n" in listed
