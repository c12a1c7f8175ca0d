"""The in-memory broker's controls for tests, and behaviour that only the doubles have."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalOperation, IllegalStateError, ProducerClosed
from aiokafka.structs import OffsetAndTimestamp, TopicPartition

from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer, eventually

FIRST = TopicPartition("orders", 0)


async def test_records_without_a_key_go_round_the_partitions(broker: InMemoryBroker) -> None:
    async with InMemoryProducer(broker) as producer:
        sent = [await producer.send_and_wait("orders", b"v") for _ in range(4)]

    assert [0, 1, 0, 1] == [metadata.partition for metadata in sent]


async def test_the_stored_records_can_be_inspected(broker: InMemoryBroker) -> None:
    async with InMemoryProducer(broker) as producer:
        await producer.send_and_wait("orders", b"a", partition=0, headers=[("h", b"1")])
        await producer.send_and_wait("orders", b"b", partition=1)

    assert [(0, b"a"), (1, b"b")] == [(r.partition, r.value) for r in broker.records("orders")]
    assert () == broker.records("payments")


async def test_the_next_sends_can_be_made_to_fail(broker: InMemoryBroker) -> None:
    broker.fail_next_send(ConnectionError("first"))
    broker.fail_next_send(TimeoutError("second"))
    async with InMemoryProducer(broker) as producer:
        future = await producer.send("orders", b"lost")
        with pytest.raises(ConnectionError, match="first"):
            await future
        with pytest.raises(TimeoutError, match="second"):
            await producer.send_and_wait("orders", b"lost")
        await producer.send_and_wait("orders", b"stored")

    assert [b"stored"] == [record.value for record in broker.records("orders")]


async def test_the_next_commit_can_be_made_to_fail(broker: InMemoryBroker) -> None:
    broker.fail_next_commit(ConnectionError("gone"))
    async with InMemoryConsumer("orders", broker=broker, group_id="inventory") as consumer:
        with pytest.raises(ConnectionError, match="gone"):
            await consumer.commit({FIRST: 1})
        assert broker.committed("inventory", FIRST) is None

        await consumer.commit({FIRST: 2})
        assert 2 == broker.committed("inventory", FIRST)


async def test_acknowledgements_can_be_held_back(broker: InMemoryBroker) -> None:
    async with InMemoryProducer(broker) as producer:
        with broker.hold_acks():
            waiting = asyncio.create_task(producer.send_and_wait("orders", b"v"))
            await eventually(lambda: broker.records("orders"))
            with broker.hold_acks():
                pass
            assert not waiting.done()

        assert 0 == (await waiting).offset


async def test_flush_and_stop_wait_for_held_acknowledgements(broker: InMemoryBroker) -> None:
    producer = InMemoryProducer(broker)
    await producer.start()
    with broker.hold_acks():
        future = await producer.send("orders", b"v")
        flushing = asyncio.create_task(producer.flush())
        stopping = asyncio.create_task(producer.stop())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not flushing.done()
        assert not stopping.done()

    await flushing
    await stopping
    assert future.done()


async def test_flush_leaves_the_error_of_a_send_to_its_future(broker: InMemoryBroker) -> None:
    broker.fail_next_send(ConnectionError("gone"))
    async with InMemoryProducer(broker) as producer:
        future = await producer.send("orders", b"v")

        await producer.flush()

    with pytest.raises(ConnectionError, match="gone"):
        await future


async def test_a_stopped_producer_refuses_records(broker: InMemoryBroker) -> None:
    async with InMemoryProducer(broker) as producer:
        pass

    with pytest.raises(ProducerClosed):
        await producer.send("orders", b"v")
    assert () == broker.records("orders")


async def test_a_transactions_records_are_readable_once_it_is_committed(
    broker: InMemoryBroker,
) -> None:
    consumer = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
    producer = InMemoryProducer(broker, transactional_id="t")
    async with consumer, producer:
        async with producer.transaction():
            await producer.send_and_wait("orders", b"1", partition=0)
            await producer.send_and_wait("orders", b"2", partition=0)
            assert {} == await consumer.getmany()
            assert 0 == consumer.last_stable_offset(FIRST)

        assert [b"1", b"2"] == [(await consumer.getone()).value for _ in range(2)]
        assert 2 == consumer.last_stable_offset(FIRST)


async def test_an_aborted_transactions_records_are_skipped(broker: InMemoryBroker) -> None:
    consumer = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
    producer = InMemoryProducer(broker, transactional_id="t")
    async with consumer, producer:
        with pytest.raises(ZeroDivisionError):
            async with producer.transaction():
                await producer.send_and_wait("orders", b"never", partition=0)
                raise ZeroDivisionError
        async with producer.transaction():
            await producer.send_and_wait("orders", b"v", partition=0)
        record = await consumer.getone()

    assert (1, b"v") == (record.offset, record.value)


async def test_a_transactions_offsets_are_committed_with_it(broker: InMemoryBroker) -> None:
    async with InMemoryProducer(broker, transactional_id="t") as producer:
        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({FIRST: 3}, "inventory")
        assert broker.committed("inventory", FIRST) is None
        await producer.commit_transaction()

    assert 3 == broker.committed("inventory", FIRST)


async def test_an_aborted_transactions_offsets_are_dropped(broker: InMemoryBroker) -> None:
    async with InMemoryProducer(broker, transactional_id="t") as producer:
        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({FIRST: 3}, "inventory")
        await producer.abort_transaction()
        async with producer.transaction():
            pass

    assert broker.committed("inventory", FIRST) is None


async def test_a_producer_with_a_transactional_id_sends_in_transactions_only(
    broker: InMemoryBroker,
) -> None:
    async with InMemoryProducer(broker, transactional_id="t") as producer:
        with pytest.raises(IllegalOperation):
            await producer.send("orders", b"v")
        with pytest.raises(IllegalOperation):
            await producer.send_offsets_to_transaction({FIRST: 1}, "inventory")
        async with producer.transaction():
            with pytest.raises(ValueError, match="group"):
                await producer.send_offsets_to_transaction({FIRST: 1}, "")
            with pytest.raises(IllegalOperation):
                await producer.begin_transaction()


async def test_stopping_a_producer_aborts_its_transaction(broker: InMemoryBroker) -> None:
    async with InMemoryProducer(broker, transactional_id="t") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait("orders", b"never")

    assert () == broker.records("orders")


async def test_latest_reads_only_records_produced_after_the_start(broker: InMemoryBroker) -> None:
    async with InMemoryProducer(broker) as producer:
        await producer.send_and_wait("orders", b"before", partition=0)
        async with InMemoryConsumer("orders", broker=broker) as consumer:
            await producer.send_and_wait("orders", b"after", partition=0)

            assert b"after" == (await consumer.getone()).value


async def test_offsets_are_found_by_time(broker: InMemoryBroker) -> None:
    # Not tested on the embedded broker, which answers with its own times.
    second = TopicPartition("orders", 1)
    async with (
        InMemoryProducer(broker) as producer,
        InMemoryConsumer("orders", broker=broker) as consumer,
    ):
        for timestamp in (100, 101, 102):
            await producer.send_and_wait("orders", b"v", partition=0, timestamp_ms=timestamp)

        offsets = await consumer.offsets_for_times({FIRST: 101, second: 0})

    assert {FIRST: OffsetAndTimestamp(1, 101), second: None} == offsets


async def test_an_unknown_offset_reset_is_refused(broker: InMemoryBroker) -> None:
    with pytest.raises(ValueError, match="'newest'"):
        InMemoryConsumer("orders", broker=broker, auto_offset_reset="newest")


async def test_a_pattern_includes_topics_that_are_created_later(broker: InMemoryBroker) -> None:
    broker.create_topic("orders.events", partitions=1)
    consumer = InMemoryConsumer(broker=broker, group_id="g", auto_offset_reset="earliest")
    consumer.subscribe(pattern=r"orders\..*")
    async with consumer, InMemoryProducer(broker) as producer:
        assert {TopicPartition("orders.events", 0)} == consumer.assignment()

        broker.create_topic("payments.events", partitions=1)
        broker.create_topic("orders.commands", partitions=1)
        await eventually(lambda: len(consumer.assignment()) == 2)
        await producer.send_and_wait("orders.commands", b"v")

        assert b"v" == (await consumer.getone()).value
        assert {"orders.events", "orders.commands"} == consumer.subscription()


async def test_getone_before_start_raises_a_clear_error(broker: InMemoryBroker) -> None:
    consumer = InMemoryConsumer("orders", broker=broker)

    with pytest.raises(IllegalStateError, match="start"):
        await consumer.getone()
    with pytest.raises(IllegalStateError, match="start"):
        await consumer.getmany()


async def test_a_record_that_cannot_be_deserialized_loses_no_other_record(
    broker: InMemoryBroker,
) -> None:
    consumer = InMemoryConsumer(
        "orders", broker=broker, auto_offset_reset="earliest", value_deserializer=int
    )
    async with InMemoryProducer(broker) as producer, consumer:
        for value in (b"1", b"poison", b"2"):
            await producer.send_and_wait("orders", value, partition=0)

        (records,) = (await consumer.getmany()).values()
        assert [1] == [record.value for record in records]
        for _ in range(2):
            with pytest.raises(ValueError, match="poison"):
                await consumer.getmany()
        consumer.seek(FIRST, 2)
        assert 2 == (await consumer.getone()).value


async def test_listeners_run_in_the_context_of_their_own_consumer(broker: InMemoryBroker) -> None:
    current = ContextVar("current", default="default")
    heard: list[str] = []

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked: Any) -> None:
            heard.append(current.get())

        def on_partitions_assigned(self, assigned: Any) -> None:
            heard.append(current.get())

    first = InMemoryConsumer(broker=broker, group_id="g")
    first.subscribe(["orders"], listener=Listener())
    async with first:
        heard.clear()
        current.set("the second member")
        async with InMemoryConsumer("orders", broker=broker, group_id="g"):
            assert ["default", "default"] == heard


@pytest.mark.parametrize("partitions", [0, -1])
def test_a_topic_without_partitions_is_refused(partitions: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        InMemoryBroker(partitions=partitions)
    with pytest.raises(ValueError, match="at least 1"):
        InMemoryBroker().create_topic("orders", partitions=partitions)


def test_the_error_names_a_missing_partition() -> None:
    broker = InMemoryBroker()
    broker.create_topic("orders", partitions=2)

    with pytest.raises(IllegalStateError, match=r"'orders' has no partition 7, only 0 to 1"):
        broker.log(TopicPartition("orders", 7))
