"""Exactly once on Kafka: fencing by generation, restarts and refusals of the broker."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import ProducerFenced
from aiokafka.structs import TopicPartition

import tracing
from demo_pipeline.broker import KafkaCluster, create_topics
from tests.tracing.delivery.giving_up import dead_letter_topic
from tests.tracing.delivery.test_exactly_once import NOW, Pipeline, numbers
from tracing import DeadLetters, TracedConsumer, TracedProducer
from tracing.kafka.group_transactions import GroupTransactions
from tracing.messaging.transactions import GroupMovedOnError, Membership
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _Real

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.integration,
    pytest.mark.parametrize("clients", ["kafka"], indirect=True),
]


def transactions(pipeline: Pipeline) -> GroupTransactions:
    return GroupTransactions(pipeline.consumer.wrapped, pipeline.producer.wrapped)


async def joined(offsets: GroupTransactions) -> Membership:
    assert await eventually(lambda: offsets.membership() is not None, timeout_s=30)
    membership = offsets.membership()
    assert membership is not None
    return membership


async def test_a_member_of_an_earlier_generation_cannot_add_offsets(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 2)
    offsets = transactions(pipeline)
    first = await joined(offsets)
    await clients.consumer(pipeline.source, group="shipping")
    assert await eventually(lambda: offsets.membership() not in {None, first}, timeout_s=30)
    tp = TopicPartition(pipeline.source, 0)

    async with pipeline.producer.transaction():
        with pytest.raises(GroupMovedOnError, match="moved on"):
            await offsets.add_offsets({tp: 1}, first)
    other = Membership(first.group, "another-member", 1)
    async with pipeline.producer.transaction():
        with pytest.raises(GroupMovedOnError):
            await offsets.add_offsets({tp: 1}, other)
    now = await joined(offsets)
    async with pipeline.producer.transaction():
        await offsets.add_offsets({tp: 1}, now)

    async def committed() -> bool:
        return await pipeline.committed() == 1

    assert await eventually(committed)


async def test_the_loop_waits_for_the_offsets_of_an_undecided_transaction(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 2)
    offsets = transactions(pipeline)
    membership = await joined(offsets)
    tp, other = (TopicPartition(pipeline.source, number) for number in (0, 1))

    async def stable() -> bool:
        return await offsets.stable_offsets([tp, other]) == {tp: 1, other: None}

    assert {tp: None, other: None} == await offsets.stable_offsets([tp, other])
    async with pipeline.producer.transaction():
        await offsets.add_offsets({tp: 1}, membership)
        assert await offsets.stable_offsets([tp, other]) is None
    assert await eventually(stable)


async def test_a_fenced_producer_ends_the_loop_and_commits_nothing(
    clients: Clients,
) -> None:
    pipeline = await Pipeline.filled(clients, 2, partitions=1)

    async def handler(record: Any) -> None:
        await pipeline.producer.send_and_wait(pipeline.target, record.value, partition=0)
        # Another process with the same transactional id: its start fences this one.
        await clients.producer(transactional_id=f"t-{pipeline.source}")

    async def never() -> bool:
        return False

    with pytest.raises(ProducerFenced):
        await pipeline.run(handler, never)
    assert 0 == await pipeline.committed()


async def test_a_batch_that_the_broker_refuses_does_not_affect_later_ones(
    clients: Clients,
) -> None:
    pipeline = await Pipeline.filled(clients, 6)
    letters = await dead_letter_topic(clients, pipeline.source, "shipping")
    admin = AIOKafkaAdminClient(bootstrap_servers=cast("_Real", clients).servers)
    await admin.start()
    limit = ConfigResource(
        ConfigResourceType.TOPIC, pipeline.target, configs={"max.message.bytes": "2000"}
    )
    await admin.alter_configs([limit])
    await admin.close()

    async def handler(record: Any) -> None:
        value = b"x" * 10_000 if record.value == b"2" else record.value
        await pipeline.producer.send(pipeline.target, value, partition=0)

    async def done() -> bool:
        return await pipeline.committed() == 6

    await pipeline.run(
        handler, done, retry=NOW, dead_letters=DeadLetters(pipeline.producer, transactional=True)
    )

    assert numbers(0, 1, 3, 4, 5) == Counter(await pipeline.shipped())
    assert [b"2"] == await pipeline.values(letters)


async def test_partitions_move_between_transactions(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 200)
    newcomer = await clients.producer(transactional_id=f"other-{pipeline.source}")
    handled: Counter[str] = Counter()
    stop = asyncio.Event()

    async def slowly(record: Any) -> None:
        handled["first"] += 1
        await pipeline.ship(record)
        await asyncio.sleep(0.02)

    async def by_the_newcomer(record: Any) -> None:
        handled["second"] += 1
        await newcomer.send(pipeline.target, record.value, partition=record.partition)

    async def join() -> None:
        assert await eventually(lambda: handled["first"] > 10, timeout_s=30)
        second = await clients.consumer(pipeline.source, group="shipping")
        await tracing.consume(second, by_the_newcomer, transactional=newcomer, stop=stop)

    async def done() -> bool:
        return await pipeline.committed() == 200

    joining = asyncio.create_task(join())
    try:
        await pipeline.run(slowly, done, commit_interval_s=0.1)
    finally:
        stop.set()
        await joining

    assert numbers(*range(200)) == Counter(await pipeline.shipped())
    assert handled["second"] > 0


async def test_partitions_that_are_assigned_by_hand_are_refused(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 1)
    bare = AIOKafkaConsumer(
        bootstrap_servers=cast("_Real", clients).servers,
        group_id="by-hand",
        enable_auto_commit=False,
    )
    async with TracedConsumer(bare, clients.telemetry) as consumer:
        consumer.assign([TopicPartition(pipeline.source, 0)])

        with pytest.raises(ValueError, match="assigned by hand"):
            await tracing.consume(consumer, pipeline.ship, transactional=pipeline.producer)


async def test_an_unsupported_aiokafka_and_an_old_broker_are_refused_by_name(
    clients: Clients,
) -> None:
    pipeline = await Pipeline.filled(clients, 1)

    class Otherwise:
        _sender = object()

    class OldBroker:
        async def send(self, *_arguments: Any, **_options: Any) -> None:
            raise NotImplementedError

    with pytest.raises(RuntimeError, match=r"made for aiokafka 0\.14"):
        GroupTransactions(pipeline.consumer.wrapped, Otherwise())
    offsets = transactions(pipeline)
    sender = cast("Any", offsets)._producer._sender
    client, sender.client = sender.client, OldBroker()
    sender._coordinators.update(dict.fromkeys((0, 1), 0))
    try:
        with pytest.raises(RuntimeError, match=r"needs Kafka 2\.5"):
            await offsets.stable_offsets([TopicPartition(pipeline.source, 0)])
    finally:
        sender.client = client
    unstarted = AIOKafkaProducer(
        bootstrap_servers=cast("_Real", clients).servers, transactional_id="never"
    )
    with pytest.raises(RuntimeError, match="started producer"):
        GroupTransactions(pipeline.consumer.wrapped, unstarted)
    await unstarted.stop()


@pytest.mark.timeout(180)
async def test_the_loop_returns_even_without_a_broker(clients: Clients) -> None:
    async with KafkaCluster() as kafka:
        servers = kafka.bootstrap_servers
        await create_topics(servers, {"orders": 1, "shipments": 1})
        async with AIOKafkaProducer(bootstrap_servers=servers) as filling:
            for number in range(10):
                await filling.send_and_wait("orders", b"%d" % number)
        bare = AIOKafkaConsumer(
            "orders", bootstrap_servers=servers, group_id="shipping", enable_auto_commit=False,
            auto_offset_reset="earliest", request_timeout_ms=2000,
        )  # fmt: skip
        consumer = TracedConsumer(bare, clients.telemetry)
        producer = TracedProducer(
            AIOKafkaProducer(
                bootstrap_servers=servers, transactional_id="t", request_timeout_ms=2000
            ),
            clients.telemetry,
        )
        await producer.start()
        await consumer.start()
        stop, gone, begun = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def handler(record: Any) -> None:
            await producer.send("shipments", record.value)
            begun.set()
            await gone.wait()

        loop = asyncio.create_task(
            tracing.consume(consumer, handler, transactional=producer, stop=stop, drain_timeout_s=1)
        )
        assert await eventually(begun.is_set, timeout_s=30)
        await kafka.kill(0)
        gone.set()
        stop.set()
        await asyncio.wait((loop,), timeout=60)

        assert loop.done()
        assert loop.exception() is None
        # Without a broker, aiokafka's clients do not stop.
        await kafka.restart(0)
        await producer.stop()
        await consumer.stop()


async def test_the_end_of_a_transactional_topic_is_reached(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 4)
    upstream = await clients.producer(transactional_id=f"up-{pipeline.source}")
    pipeline.consumer = await clients.consumer(
        pipeline.source, group="billing", isolation_level="read_committed"
    )

    async def produce() -> None:
        for partition in (0, 1):
            async with upstream.transaction():
                await upstream.send(pipeline.source, b"4", partition=partition)
            with pytest.raises(ZeroDivisionError):
                async with upstream.transaction():
                    await upstream.send(pipeline.source, b"gone", partition=partition)
                    raise ZeroDivisionError

    await produce()
    ends: dict[TopicPartition, int] = {}
    every_record = await clients.consumer(pipeline.source)

    async def transactions_have_ended() -> bool:
        # The broker answers the end of a transaction before its marker is in the log.
        partitions = [TopicPartition(pipeline.source, number) for number in (0, 1)]
        ends.update(await pipeline.consumer.end_offsets(partitions))
        return bool(ends == await every_record.end_offsets(partitions))

    assert await eventually(transactions_have_ended)

    async def done() -> bool:
        return bool(await pipeline.committed() == sum(ends.values()))

    await pipeline.run(pipeline.ship, done)

    assert numbers(0, 1, 2, 3, 4, 4) == Counter(await pipeline.shipped())
    assert sum(ends.values()) == await pipeline.committed()


async def test_a_static_member_keeps_its_name_in_the_transaction(clients: Clients) -> None:
    pipeline = await Pipeline.filled(clients, 4)
    pipeline.consumer = await clients.consumer(
        pipeline.source, group="static", group_instance_id="member-1"
    )

    async def done() -> bool:
        return await pipeline.committed() == 4

    await pipeline.run(pipeline.ship, done)

    assert numbers(0, 1, 2, 3) == Counter(await pipeline.shipped())
    assert "member-1" == (await joined(transactions(pipeline))).instance_id
