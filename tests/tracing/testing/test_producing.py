"""Behaviour and refusals of producers, in which the in-memory double and aiokafka must agree."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka.errors import IllegalOperation
from aiokafka.structs import RecordMetadata, TopicPartition


async def test_a_record_arrives_as_it_was_sent(clients: Any) -> None:
    topic = await clients.topic()
    producer, consumer = await clients.producer(), await clients.consumer(topic)
    headers = [("a", b"1"), ("a", b"2"), ("b", b"\xff")]

    await producer.send_and_wait(topic, b"v", b"k", 1, 1_700_000_000_000, headers)
    record = await consumer.getone()

    assert (topic, 1, 0) == (record.topic, record.partition, record.offset)
    assert (b"k", b"v") == (record.key, record.value)
    assert (1_700_000_000_000, 0) == (record.timestamp, record.timestamp_type)
    assert tuple(headers) == tuple(record.headers)
    assert (1, 1) == (record.serialized_key_size, record.serialized_value_size)


async def test_a_tombstone_has_no_value(clients: Any) -> None:
    topic = await clients.topic()
    producer, consumer = await clients.producer(), await clients.consumer(topic)

    await producer.send_and_wait(topic, key=b"k")
    record = await consumer.getone()

    assert (b"k", None, -1) == (record.key, record.value, record.serialized_value_size)


async def test_an_acknowledgement_comes_later_with_the_position_of_the_record(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"first", partition=1)

    future = await producer.send(topic, b"second", partition=1, timestamp_ms=77)

    assert isinstance(future, asyncio.Future)
    assert not future.done()
    metadata = await future
    assert isinstance(metadata, RecordMetadata)
    assert (topic, 1, TopicPartition(topic, 1), 1) == metadata[:4]
    assert 77 == metadata.timestamp


async def test_a_record_without_a_timestamp_gets_the_current_time(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    before = time.time_ns() // 1_000_000

    metadata = await producer.send_and_wait(topic, b"v")

    assert before <= metadata.timestamp <= time.time_ns() // 1_000_000


async def test_records_of_one_key_share_a_partition(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    keys = [b"user-%d" % number for number in range(20)]

    first = [(await producer.send_and_wait(topic, b"v", key)).partition for key in keys]
    second = [(await producer.send_and_wait(topic, b"v", key)).partition for key in keys]

    assert first == second
    assert {0, 1} == set(first)


async def test_serializers_turn_keys_and_values_into_bytes(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer(key_serializer=str.encode, value_serializer=str.encode)
    consumer = await clients.consumer(
        topic, key_deserializer=bytes.decode, value_deserializer=lambda value: value.decode() * 2
    )

    await producer.send_and_wait(topic, "v", "k")
    record = await consumer.getone()

    assert ("k", "vv") == (record.key, record.value)


async def test_the_partitions_of_a_topic_are_known(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()

    assert {0, 1} == set(await producer.partitions_for(topic))


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        pytest.param({}, AssertionError, id="neither key nor value"),
        pytest.param({"value": "text"}, TypeError, id="text as value"),
        pytest.param({"value": b"v", "key": 7}, TypeError, id="number as key"),
        pytest.param({"value": b"v", "partition": 9}, AssertionError, id="no such partition"),
        pytest.param({"value": b"v", "headers": [("h", "text")]}, TypeError, id="text in header"),
        pytest.param({"value": b"v", "headers": [("h", 1)]}, TypeError, id="number in header"),
        pytest.param({"value": b"v", "headers": [(b"h", b"v")]}, TypeError, id="bytes as name"),
    ],
)
async def test_a_bad_record_is_refused(
    clients: Any, arguments: dict[str, Any], refusal: type[Exception]
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()

    with pytest.raises(refusal):
        await producer.send(topic, **arguments)


async def test_a_header_may_have_no_value(clients: Any) -> None:
    topic = await clients.topic()
    producer, consumer = await clients.producer(), await clients.consumer(topic)

    await producer.send_and_wait(topic, b"v", headers=[("h", None)])

    assert (("h", None),) == tuple((await consumer.getone()).headers)


async def test_a_batch_is_stored_in_order_and_acknowledged_with_its_first_offset(
    clients: Any,
) -> None:
    topic = await clients.topic()
    producer, consumer = await clients.producer(), await clients.consumer(topic)
    await producer.send_and_wait(topic, b"before", partition=1)
    batch = producer.create_batch()
    assert 0 == batch.append(timestamp=5, key=b"k", value=b"0").offset
    assert 1 == batch.append(timestamp=6, key=None, value=b"1", headers=[("h", b"x")]).offset

    assert 2 == batch.record_count()
    acknowledgement = await (await producer.send_batch(batch, topic, partition=1))

    assert (1, 1) == (acknowledgement.partition, acknowledgement.offset)
    records = [await consumer.getone() for _ in range(3)]
    assert [b"before", b"0", b"1"] == [record.value for record in records]
    assert [5, 6] == [record.timestamp for record in records[1:]]
    assert (("h", b"x"),) == tuple(records[2].headers)


async def test_a_closed_batch_accepts_no_record(clients: Any) -> None:
    producer = await clients.producer()
    batch = producer.create_batch()
    batch.close()

    assert batch.closed()
    assert batch.append(timestamp=None, key=None, value=b"v") is None
    assert 0 == batch.record_count()


async def test_a_full_batch_accepts_no_more_records(clients: Any) -> None:
    producer = await clients.producer()
    batch = producer.create_batch()

    accepted = 0
    while batch.append(timestamp=None, key=None, value=bytes(1000)) is not None:
        accepted += 1

    assert 16 == accepted == batch.record_count()
    assert batch.closed()


async def test_flush_waits_for_every_acknowledgement(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    futures = [await producer.send(topic, b"%d" % number) for number in range(5)]

    await producer.flush()

    assert [True] * 5 == [future.done() for future in futures]


async def test_stop_waits_for_every_acknowledgement(clients: Any) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    future = await producer.send(topic, b"v")

    await producer.stop()

    assert future.done()


async def test_transactions_need_a_transactional_id(clients: Any) -> None:
    producer = await clients.producer()

    for refused in (
        producer.begin_transaction,
        producer.commit_transaction,
        producer.abort_transaction,
        lambda: producer.send_offsets_to_transaction({TopicPartition("orders", 0): 1}, "group"),
        producer.transaction().__aenter__,
    ):
        with pytest.raises(IllegalOperation):
            await refused()
