"""confluent-kafka's serializers and Apicurio Registry: what the library counts, and what fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka.schema_registry import AsyncSchemaRegistryClient, Schema
from confluent_kafka.schema_registry.avro import AsyncAvroDeserializer, AsyncAvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.tracing.schemas.decoding import Meter, framed
from tracing import Schemas, Telemetry, UndecodableRecord, UnknownSchema
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

V1 = '{"type": "record", "name": "shop.OrderPlaced", "fields": [{"name": "id", "type": "string"}]}'
V2 = V1.replace("}]}", '}, {"name": "n", "type": "int", "default": 7}]}')


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
async def client(registry_url: str) -> AsyncIterator[AsyncSchemaRegistryClient]:
    async with AsyncSchemaRegistryClient({"url": registry_url}) as made:
        yield made


async def test_records_are_counted_by_the_registrys_subject_and_version(
    client: AsyncSchemaRegistryClient, meter: Meter
) -> None:
    topic = f"orders-{uuid4().hex}"
    subject = f"{topic}-value"
    # Both subjects have the first schema, under one id: the topic's own is meant.
    for name in (f"archive-{topic}", subject):
        await client.register_schema(name, Schema(V1, "AVRO"))
    schemas = Schemas(Telemetry("orders", meter_provider=meter.provider), client)
    context = SerializationContext(topic, MessageField.VALUE)
    topic_name: Any = {"subject.name.strategy.type": "TOPIC"}
    read = schemas.deserializer(await AsyncAvroDeserializer(client, conf=topic_name))
    for schema, order in ((V1, {"id": "o-1"}), (V2, {"id": "o-2", "n": 1})):
        write = schemas.serializer(await AsyncAvroSerializer(client, schema, conf=topic_name))
        assert order == await read(await write(order, context), context)

    expected = {
        (subject, version, outcome): 1 for version in "12" for outcome in ("written", "read")
    }
    assert await eventually(lambda: meter.counts() == expected)


@pytest.mark.parametrize("schema_id", [2**31 - 1, 2**32 - 1])
async def test_an_id_that_the_registry_does_not_know_is_no_reason_to_try_again(
    client: AsyncSchemaRegistryClient, meter: Meter, schema_id: int
) -> None:
    schemas = Schemas(Telemetry("orders", meter_provider=meter.provider), client)
    read = schemas.deserializer(await AsyncAvroDeserializer(client))

    with pytest.raises(UndecodableRecord) as raised:
        await read(framed(schema_id), SerializationContext("orders", MessageField.VALUE))

    assert UnknownSchema is type(raised.value)
    assert {("unknown", "unknown", "unknown_id"): 1} == meter.counts()
