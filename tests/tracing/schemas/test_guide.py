"""The example of the guide, as it stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

import tracing
from tests.docs.pages import ROOT, blocks_of
from tests.tracing.delivery.giving_up import given_up
from tests.tracing.schemas.decoding import framed
from tests.tracing.schemas.test_confluent import ORDER, V1, V2
from tracing import Provenance
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import _InMemory
    from tests.tracing.schemas.decoding import Meter

GUIDE: Final = ROOT / "docs" / "guides" / "schemas.md"


class _Codec:
    """A hand-written codec that does not read the registry's format."""

    async def decode(self, value: bytes) -> int:
        return len(value)


@pytest.fixture
def example(memory: _InMemory) -> dict[str, Any]:
    """Run the example, and return its names."""
    (block,) = blocks_of(GUIDE)
    names: dict[str, Any] = {
        "tracing": tracing,
        "telemetry": memory.telemetry,
        "client": SchemaRegistryClient.new_client({"url": "mock://"}),
        "AvroSerializer": AvroSerializer,
        "AvroDeserializer": AvroDeserializer,
        "SerializationContext": SerializationContext,
        "MessageField": MessageField,
        "order_placed": V2,
        "codec": _Codec(),
    }
    exec(compile(block.source, GUIDE, "exec"), names)  # noqa: S102 - our own documentation
    return names


@pytest.mark.parametrize("handler", ["handle", "handle_by_hand"])
async def test_the_example_counts_what_is_written_and_read(
    memory: _InMemory, meter: Meter, example: dict[str, Any], handler: str
) -> None:
    topic = await memory.topic()
    context = SerializationContext(topic, MessageField.VALUE)
    old = AvroSerializer(example["client"], V1)(ORDER, context)
    new = example["encode"]({**ORDER, "n": 1}, context)
    assert await eventually(lambda: meter.counts() == {("orders-value", "2", "written"): 1})
    producer = await memory.producer()
    consumer = await memory.consumer(topic, group="g")
    for value in (old, new):
        await producer.send_and_wait(topic, value, partition=0)
        record = await consumer.getone()
        async with consumer.process(record):
            await example[handler](record)

    expected = {
        ("orders-value", "2", "written"): 1,
        ("orders-value", "1", "read"): 1,
        ("orders-value", "2", "read"): 1,
    }
    assert await eventually(lambda: meter.counts() == expected)


async def test_the_example_makes_dead_letters_with_a_reason(
    memory: _InMemory, example: dict[str, Any]
) -> None:
    topic = await memory.topic()
    await (await memory.producer()).send_and_wait(topic, framed(4711))

    (letter,) = await given_up(memory, topic, handler=example["handle"])

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert "tracing.UnknownSchema" == provenance.exception
    assert "names the schema with id 4711, which the schema registry does not" in provenance.message
