"""Behaviour and refusals of consumers, in which the in-memory double and aiokafka must agree."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import ConsumerStoppedError, IllegalOperation, IllegalStateError
from aiokafka.structs import ConsumerRecord, TopicPartition

from tracing.testing import eventually


async def filled(clients: Any, *, each: int = 3) -> tuple[str, TopicPartition, TopicPartition]:
    """Create a topic with `each` records per partition, timestamps 100, 101, …"""
    topic = await clients.topic()
    producer = await clients.producer()
    for partition in (0, 1):
        for number in range(each):
            value = b"%d-%d" % (partition, number)
            await producer.send_and_wait(
                topic, value, partition=partition, timestamp_ms=100 + number
            )
    return topic, TopicPartition(topic, 0), TopicPartition(topic, 1)


async def test_records_of_a_partition_come_in_order(clients: Any) -> None:
    topic, *_ = await filled(clients)
    consumer = await clients.consumer(topic)

    records = [await consumer.getone() for _ in range(6)]

    assert all(isinstance(record, ConsumerRecord) for record in records)
    for partition in (0, 1):
        assert [0, 1, 2] == [r.offset for r in records if r.partition == partition]


async def test_getone_can_be_limited_to_partitions(clients: Any) -> None:
    topic, _, second = await filled(clients)
    consumer = await clients.consumer(topic)

    records = [await consumer.getone(second) for _ in range(3)]

    assert [b"1-0", b"1-1", b"1-2"] == [record.value for record in records]


async def test_getmany_returns_at_most_max_records(clients: Any) -> None:
    topic, first, second = await filled(clients)
    consumer = await clients.consumer(topic)
    seen: dict[TopicPartition, list[int]] = {first: [], second: []}

    for _ in range(3):
        taken = await consumer.getmany(timeout_ms=10_000, max_records=2)
        assert 1 <= sum(map(len, taken.values())) <= 2
        for partition, records in taken.items():
            seen[partition] += [record.offset for record in records]
    while sum(map(len, seen.values())) < 6:
        for partition, records in (await consumer.getmany(timeout_ms=10_000)).items():
            seen[partition] += [record.offset for record in records]

    assert {first: [0, 1, 2], second: [0, 1, 2]} == seen


async def test_getmany_returns_nothing_without_records(clients: Any) -> None:
    topic = await clients.topic()
    consumer = await clients.consumer(topic)

    assert {} == await consumer.getmany()
    assert {} == await consumer.getmany(timeout_ms=1)


async def test_getmany_wakes_for_a_new_record(clients: Any) -> None:
    topic = await clients.topic()
    producer, consumer = await clients.producer(), await clients.consumer(topic)
    waiting = asyncio.create_task(consumer.getmany(timeout_ms=30_000))

    await producer.send_and_wait(topic, b"v", partition=1)

    assert [TopicPartition(topic, 1)] == list(await waiting)


@pytest.mark.parametrize("limit", [0, -1, "2"])
async def test_getmany_refuses_an_invalid_limit(clients: Any, limit: Any) -> None:
    topic = await clients.topic()
    consumer = await clients.consumer(topic)

    with pytest.raises(ValueError, match="max_records"):
        await consumer.getmany(max_records=limit)


async def test_a_paused_partition_returns_nothing_until_resumed(clients: Any) -> None:
    topic, first, second = await filled(clients)
    consumer = await clients.consumer(topic)

    consumer.pause(first)
    records = [await consumer.getone() for _ in range(3)]
    assert {1} == {record.partition for record in records}
    assert {first} == consumer.paused()
    assert {} == await consumer.getmany(timeout_ms=1)

    consumer.resume(first)
    assert set() == consumer.paused()
    assert 0 == (await consumer.getone()).partition
    assert second not in await consumer.getmany()


async def test_a_consumer_can_seek_anywhere(clients: Any) -> None:
    topic, first, second = await filled(clients)
    consumer = await clients.consumer(topic, group="inventory")

    consumer.seek(first, 2)
    assert 2 == await consumer.position(first)
    assert b"0-2" == (await consumer.getone(first)).value
    assert 3 == await consumer.position(first)

    assert await consumer.seek_to_beginning(first)
    assert b"0-0" == (await consumer.getone(first)).value

    assert await consumer.seek_to_end()
    assert (3, 3) == (await consumer.position(first), await consumer.position(second))
    assert {} == await consumer.getmany(timeout_ms=1)

    await consumer.commit({second: 1})
    assert {second: 1} == await consumer.seek_to_committed(second)
    assert b"1-1" == (await consumer.getone(second)).value


async def test_a_consumer_returns_the_offsets_of_a_topic(clients: Any) -> None:
    topic, first, second = await filled(clients)
    consumer = await clients.consumer(topic)

    assert {first: 0, second: 0} == await consumer.beginning_offsets([first, second])
    assert {first: 3, second: 3} == await consumer.end_offsets([first, second])
    assert {0, 1} == consumer.partitions_for_topic(topic)
    assert topic in await consumer.topics()
    assert {topic} == consumer.subscription()
    assert {first, second} == consumer.assignment()
    await consumer.getone(first)
    assert 3 == consumer.highwater(first)
    assert consumer.last_poll_timestamp(first) > 0


async def test_a_time_before_the_epoch_is_refused(clients: Any) -> None:
    topic, first, _ = await filled(clients)
    consumer = await clients.consumer(topic)

    with pytest.raises(ValueError, match="negative"):
        await consumer.offsets_for_times({first: -1})


async def test_a_group_continues_at_its_committed_offset(clients: Any) -> None:
    topic, first, second = await filled(clients)
    consumer = await clients.consumer(topic, group="inventory")
    assert await consumer.committed(first) is None
    await consumer.getone(first)
    await consumer.commit()
    await consumer.commit({second: (2, "note")})
    await consumer.stop()

    other = await clients.consumer(topic, group="inventory")

    assert (1, 2) == (await other.committed(first), await other.committed(second))
    assert b"0-1" == (await other.getone(first)).value
    assert b"1-2" == (await other.getone(second)).value


async def test_uncommitted_records_are_delivered_again(clients: Any) -> None:
    topic, first, _ = await filled(clients)
    consumer = await clients.consumer(topic, group="inventory")
    await consumer.getone(first)
    await consumer.stop()

    other = await clients.consumer(topic, group="inventory")

    assert b"0-0" == (await other.getone(first)).value


async def test_automatic_commits_happen_at_stop(clients: Any) -> None:
    topic, first, _ = await filled(clients)
    consumer = await clients.consumer(topic, group="inventory", enable_auto_commit=True)
    await consumer.getone(first)
    await consumer.stop()

    other = await clients.consumer(topic, group="inventory")

    assert 1 == await other.committed(first)


@pytest.mark.parametrize(
    ("offsets", "refusal"),
    [
        pytest.param({}, ValueError, id="nothing"),
        pytest.param([("orders", 0)], ValueError, id="no mapping"),
        pytest.param({("orders", 0): 1}, TypeError, id="no partition"),
        pytest.param({TopicPartition("orders", 0): "1"}, ValueError, id="text as offset"),
        pytest.param({TopicPartition("orders", 0): (1, b"")}, TypeError, id="bytes as metadata"),
        pytest.param({TopicPartition("else", 0): 1}, IllegalStateError, id="not assigned"),
    ],
)
async def test_a_bad_commit_is_refused(
    clients: Any, offsets: Any, refusal: type[Exception]
) -> None:
    topic = await clients.topic()
    consumer = await clients.consumer(topic, group="inventory")

    with pytest.raises(refusal):
        await consumer.commit(offsets)


async def test_without_a_group_there_are_no_commits(clients: Any) -> None:
    topic, first, _ = await filled(clients)
    consumer = await clients.consumer(topic)

    with pytest.raises(IllegalOperation):
        await consumer.commit()
    with pytest.raises(IllegalOperation):
        await consumer.committed(first)
    with pytest.raises(IllegalOperation):
        await consumer.seek_to_committed()


async def test_partitions_can_be_assigned_by_hand(clients: Any) -> None:
    _, _, second = await filled(clients)
    consumer = await clients.consumer()

    consumer.assign([second])

    assert {second} == consumer.assignment()
    assert b"1-0" == (await consumer.getone()).value


async def test_assigning_and_subscribing_exclude_each_other(clients: Any) -> None:
    topic, first, _ = await filled(clients)
    subscribed, assigned = clients.unstarted_consumer(topic), clients.unstarted_consumer()
    assigned.assign([first])

    with pytest.raises(IllegalStateError):
        subscribed.assign([first])
    with pytest.raises(IllegalStateError):
        assigned.subscribe([topic])
    assigned.unsubscribe()
    assigned.subscribe([topic])
    assert {topic} == assigned.subscription()


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        pytest.param({}, TypeError, id="nothing"),
        pytest.param({"topics": ["a"], "pattern": "b"}, TypeError, id="both"),
        pytest.param({"topics": "orders"}, TypeError, id="text"),
        pytest.param({"pattern": "("}, ValueError, id="no pattern"),
        pytest.param({"topics": ["a"], "listener": object()}, TypeError, id="no listener"),
    ],
)
async def test_a_bad_subscription_is_refused(
    clients: Any, arguments: dict[str, Any], refusal: type[Exception]
) -> None:
    consumer = clients.unstarted_consumer()

    with pytest.raises(refusal):
        consumer.subscribe(**arguments)


async def test_partitions_that_are_not_assigned_are_refused(clients: Any) -> None:
    topic = await clients.topic()
    consumer = await clients.consumer(topic, group="inventory")
    unassigned = TopicPartition("else", 0)

    with pytest.raises(IllegalStateError):
        consumer.pause(unassigned)
    with pytest.raises(IllegalStateError):
        consumer.seek(unassigned, 0)
    with pytest.raises(IllegalStateError):
        await consumer.position(unassigned)
    for seek in (consumer.seek_to_beginning, consumer.seek_to_end, consumer.seek_to_committed):
        with pytest.raises(IllegalStateError):
            await seek(unassigned)
    for ask in (consumer.highwater, consumer.last_stable_offset, consumer.last_poll_timestamp):
        with pytest.raises(AssertionError):
            ask(unassigned)


async def test_a_value_that_is_not_a_partition_is_refused(clients: Any) -> None:
    topic = await clients.topic()
    consumer = await clients.consumer(topic, group="inventory")
    pair = (topic, 0)

    for sought in (consumer.seek_to_beginning, consumer.seek_to_end, consumer.seek_to_committed):
        with pytest.raises(TypeError):
            await sought(pair)
    for switched in (consumer.pause, consumer.resume):
        with pytest.raises(TypeError):
            switched(pair)
    for taken in (consumer.getone, consumer.getmany):
        with pytest.raises(AssertionError):
            await taken(pair)


@pytest.mark.parametrize("offset", [-1, "0", None])
async def test_seeking_to_an_invalid_offset_is_refused(clients: Any, offset: Any) -> None:
    topic, first, _ = await filled(clients)
    consumer = await clients.consumer(topic)

    with pytest.raises(ValueError, match="positive"):
        consumer.seek(first, offset)


async def test_a_consumer_starts_once(clients: Any) -> None:
    topic = await clients.topic()
    consumer = await clients.consumer(topic)

    with pytest.raises(AssertionError):
        await consumer.start()


async def test_stopping_ends_every_wait(clients: Any) -> None:
    topic = await clients.topic()
    consumer = await clients.consumer(topic)
    seen: list[ConsumerRecord[Any, Any]] = []

    async def iterate() -> None:
        seen.extend([record async for record in consumer])

    one, every = asyncio.create_task(consumer.getone()), asyncio.create_task(iterate())
    await asyncio.sleep(0)

    await consumer.stop()

    with pytest.raises(ConsumerStoppedError):
        await one
    await every
    assert [] == seen


async def test_a_stopped_consumer_returns_nothing(clients: Any) -> None:
    topic, *_ = await filled(clients)
    consumer = await clients.consumer(topic)
    await consumer.stop()
    await consumer.stop()

    with pytest.raises(ConsumerStoppedError):
        await consumer.getone()
    with pytest.raises(ConsumerStoppedError):
        await consumer.getmany()
    with pytest.raises(ConsumerStoppedError):
        aiter(consumer)


async def test_a_cancelled_wait_loses_no_record(clients: Any) -> None:
    topic = await clients.topic()
    producer, consumer = await clients.producer(), await clients.consumer(topic)
    waiting = asyncio.create_task(consumer.getone())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])

    await producer.send_and_wait(topic, b"v")

    assert b"v" == (await consumer.getone()).value


async def test_a_consumer_can_subscribe_after_it_started(clients: Any) -> None:
    topic, *_ = await filled(clients)
    consumer = await clients.consumer(group="inventory")

    consumer.subscribe([topic])

    await eventually(lambda: len(consumer.assignment()) == 2)
    assert topic == (await consumer.getone()).topic
