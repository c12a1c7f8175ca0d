"""`async for` over consumers with their own iterators uses those iterators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.tracing.kafka.conftest import ZeroCodeRun, consumer_options
from tracing import Telemetry, TracedConsumer
from tracing.kafka.iteration import TracedRecords
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer

BareConsumer: Any = AIOKafkaConsumer  # typed in parts only


class Parsing:
    """Yields what it makes of a record, in place of the record."""

    async def __anext__(self) -> Any:
        record = await super().__anext__()  # type: ignore[misc]  # a mixin
        return {"parsed": record.value.decode()}


class OwnIterator:
    """Gives an object of its own to iterate by."""

    def __aiter__(self) -> Any:
        return _Values(self)


class OwnGenerator:
    """Iterates by a generator."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            yield {"parsed": (await self.getone()).value.decode()}  # type: ignore[attr-defined]  # a mixin


class OwnRecords:
    """Leaves some records out."""

    async def __anext__(self) -> Any:
        while (record := await super().__anext__()).value == b"0":  # type: ignore[misc]  # a mixin
            pass
        return record


class _Values:
    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __aiter__(self) -> _Values:
        return self

    async def __anext__(self) -> Any:
        return {"parsed": (await self._consumer.getone()).value.decode()}


WAYS = [Parsing, OwnIterator, OwnGenerator]


@pytest.fixture
async def broker() -> InMemoryBroker:
    broker = InMemoryBroker()
    broker.create_topic("orders", partitions=1)
    async with InMemoryProducer(broker) as producer:
        for number in range(3):
            await producer.send_and_wait("orders", str(number).encode())
    return broker


async def first_two(consumer: Any) -> list[Any]:
    items = []
    async for item in consumer:
        items.append(item)
        if len(items) == 2:
            break
    return items


@pytest.mark.parametrize("way", WAYS)
async def test_records_that_a_wrapped_consumer_yields_reach_the_loop(
    telemetry: Telemetry, broker: InMemoryBroker, way: type[Any]
) -> None:
    own: Any = type("Own", (way, InMemoryConsumer), {})
    inner = own("orders", broker=broker, auto_offset_reset="earliest")

    async with TracedConsumer(inner, telemetry) as consumer:
        assert [{"parsed": "0"}, {"parsed": "1"}] == await first_two(consumer)


async def test_records_that_a_wrapped_consumer_chooses_get_their_spans(
    telemetry: Telemetry, capture: Capture, broker: InMemoryBroker
) -> None:
    own: Any = type("Own", (OwnRecords, InMemoryConsumer), {})
    inner = own("orders", broker=broker, auto_offset_reset="earliest")

    async with TracedConsumer(inner, telemetry) as consumer:
        assert [b"1", b"2"] == [record.value for record in await first_two(consumer)]
    assert "process orders CONSUMER\nprocess orders CONSUMER" == capture.tree()


async def test_a_call_of_anext_is_the_consumers_own(
    telemetry: Telemetry, broker: InMemoryBroker
) -> None:
    own: Any = type("Own", (Parsing, InMemoryConsumer), {})
    inner = own("orders", broker=broker, auto_offset_reset="earliest")

    async with TracedConsumer(inner, telemetry) as consumer:
        item: object = await consumer.__anext__()

    assert {"parsed": "0"} == item


async def test_iteration_over_a_mock_ends_with_its_iterator(telemetry: Telemetry) -> None:
    mock = AsyncMock(spec=AIOKafkaConsumer)
    mock.__aiter__.return_value = [1, 2, 3]

    items: list[Any] = [item async for item in TracedConsumer(mock, telemetry)]

    assert [1, 2, 3] == items


async def test_an_iterator_has_the_attributes_of_the_consumers_own(
    telemetry: Telemetry, broker: InMemoryBroker
) -> None:
    generating: Any = type("Own", (OwnGenerator, InMemoryConsumer), {})
    inner = generating("orders", broker=broker, auto_offset_reset="earliest")
    async with TracedConsumer(inner, telemetry) as consumer:
        items: Any
        async with aclosing(aiter(consumer)) as items:
            assert {"parsed": "0"} == await anext(items)
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    itself = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
    async with TracedConsumer(itself, telemetry) as consumer:
        records: Any = aiter(consumer)
        await anext(records)
        assert b"1" == (await records.getone()).value
        assert consumer.assignment() == records.assignment()
        with pytest.raises(AttributeError, match="no_such"):
            _ = records.no_such
    with pytest.raises(AttributeError):
        object.__new__(TracedRecords).getone  # noqa: B018 - reading it is the test


@pytest.mark.parametrize("way", ["finally", "block"])
async def test_an_error_is_that_of_the_record_also_where_the_iterator_is_kept(
    telemetry: Telemetry, capture: Capture, broker: InMemoryBroker, way: str
) -> None:
    inner = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
    consumer = TracedConsumer(inner, telemetry)
    kept: list[Any] = []

    async def fail() -> None:
        kept.append(aiter(consumer))
        async with asyncio.timeout(5):
            await anext(kept[0])
        raise ValueError("no")

    async def run() -> None:
        if way == "block":
            async with consumer:
                await fail()
        await consumer.start()
        try:
            await fail()
        finally:
            await consumer.stop()

    with pytest.raises(ValueError, match="no"):
        await run()

    assert "process orders CONSUMER ERROR error.type=ValueError" == capture.tree(
        attributes=["error.type"]
    )


def _fail() -> None:
    raise ValueError("before")


async def test_an_error_of_another_task_or_from_before_is_not_that_of_the_record(
    telemetry: Telemetry, capture: Capture, broker: InMemoryBroker
) -> None:
    inner = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
    consumer = TracedConsumer(inner, telemetry)
    await consumer.start()
    ready, over = asyncio.Event(), asyncio.Event()

    async def other() -> None:
        async for _ in consumer:
            ready.set()
            await over.wait()
            break

    handling = asyncio.create_task(other())
    await ready.wait()
    try:
        _fail()
    except ValueError:
        records = aiter(consumer)
        await anext(records)
        await consumer.stop()
        del records
    over.set()
    await handling
    await asyncio.sleep(0)

    one = "process orders CONSUMER pipeline.outcome=ok"
    assert f"{one}\n{one}" == capture.tree(attributes=["pipeline.outcome"])


@pytest.mark.parametrize("nothing", [None, object(), AsyncMock(), {"topic": "orders"}])
async def test_getone_returns_what_the_client_returns(
    telemetry: Telemetry, nothing: object
) -> None:
    mock = AsyncMock(spec=AIOKafkaConsumer)
    mock.getone.return_value = nothing

    assert nothing is await TracedConsumer(mock, telemetry).getone()


@pytest.mark.integration
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrapped", [False, True])
async def test_with_zero_code_a_record_converted_by_a_subclass_is_handled(
    zero_code: ZeroCodeRun,
    telemetry: Telemetry,
    embedded_servers: str,
    topic: str,
    way: type[Any],
    wrapped: bool,
) -> None:
    zero_code.on()
    own: Any = type("Own", (way, BareConsumer), {})
    inner = own(topic, **consumer_options(embedded_servers))
    current = []
    async with AIOKafkaProducer(bootstrap_servers=embedded_servers) as producer:
        for value in (b"0", b"1"):
            await producer.send_and_wait(topic, value)
        async with TracedConsumer(inner, telemetry) if wrapped else inner as consumer:
            async for item in consumer:
                current.append(item)
                if len(current) == 2:
                    break

    assert [{"parsed": "0"}, {"parsed": "1"}] == current
    assert 2 == zero_code.capture.metric("messaging.client.consumed.messages")
    one = f"send {topic} PRODUCER\n  process {topic} CONSUMER"
    assert f"{one}\n{one}" == zero_code.capture.tree()


@pytest.mark.integration
async def test_under_zero_code_an_iterator_has_what_the_consumer_has(
    zero_code: ZeroCodeRun, embedded_servers: str, topic: str
) -> None:
    zero_code.on()
    async with AIOKafkaProducer(bootstrap_servers=embedded_servers) as producer:
        for value in (b"0", b"1"):
            await producer.send_and_wait(topic, value)
    async with BareConsumer(topic, **consumer_options(embedded_servers)) as consumer:
        records: Any = aiter(consumer)
        assert [b"0", b"1"] == [(await anext(records)).value, (await records.getone()).value]
        del records

    assert 2 == zero_code.capture.metric("messaging.client.consumed.messages")
    assert 2 == zero_code.capture.tree().count("process")
