"""What a broker must support beyond the clients' tests: transactions, administration, long runs.

The suite of `tests/testing`, which holds for the in-memory double, the embedded broker and Apache
Kafka, has producing, headers, groups, rebalances, seeking and pausing. Here is what only real
brokers have; what the embedded one cannot do is in `UNSUPPORTED`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from demo_pipeline.broker import KafkaCluster, create_topics, has_progress
from tracing import Telemetry, TracedConsumer, TracedProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

pytestmark = [pytest.mark.integration]

UNSUPPORTED: Final[Mapping[str, str]] = {
    "idempotence": "the embedded broker answers InitProducerId, version 0, with an unknown error",
    "transactions": "they begin with InitProducerId, at which the embedded broker fails",
    "group offsets": "the embedded broker's answer to an admin client's OffsetFetch cannot be read",
    "deleting": "the embedded broker closes the connection on DeleteRecords",
}
"""What the embedded broker does not support, and why."""


@pytest.fixture(
    params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)],
)
def servers(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_servers"))


def expected_to_fail(request: pytest.FixtureRequest, what: str) -> None:
    """Mark what the embedded broker does not support; strict, so that the list stays true."""
    if "embedded" in request.node.callspec.params.values():
        # Only the fixture knows which broker the test runs with.
        request.applymarker(pytest.mark.xfail(reason=UNSUPPORTED[what], strict=True))


async def topic(servers: str) -> str:
    name = f"conformance-{uuid4().hex[:8]}"
    await create_topics(servers, {name: 2})
    return name


@asynccontextmanager
async def started(producer: TracedProducer) -> AsyncIterator[TracedProducer]:
    """Start a producer, and stop it even if the start fails; aiokafka's own block does not."""
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


def consumer(servers: str, name: str, **options: Any) -> TracedConsumer:
    options = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **options}
    bare = AIOKafkaConsumer(name, bootstrap_servers=servers, fetch_max_wait_ms=10, **options)
    return TracedConsumer(bare, Telemetry("orders"))


async def test_an_idempotent_producer_sends(servers: str, request: pytest.FixtureRequest) -> None:
    expected_to_fail(request, "idempotence")
    name = await topic(servers)
    bare = AIOKafkaProducer(
        bootstrap_servers=servers, enable_idempotence=True, request_timeout_ms=3000
    )
    traced = TracedProducer(bare, Telemetry("orders"))
    async with asyncio.timeout(8), started(traced) as producer:
        assert 0 == (await producer.send_and_wait(name, b"v", partition=0)).offset


async def test_records_of_an_aborted_transaction_are_not_read(
    servers: str, request: pytest.FixtureRequest
) -> None:
    expected_to_fail(request, "transactions")
    name = await topic(servers)
    bare = AIOKafkaProducer(
        bootstrap_servers=servers, transactional_id=name, request_timeout_ms=3000
    )
    async with asyncio.timeout(20):
        async with started(TracedProducer(bare, Telemetry("orders"))) as producer:
            with pytest.raises(ZeroDivisionError):
                async with producer.transaction():
                    await producer.send_and_wait(name, b"aborted", partition=0)
                    raise ZeroDivisionError
            async with producer.transaction():
                await producer.send_and_wait(name, b"committed", partition=0)
        async with consumer(servers, name, isolation_level="read_committed") as reader:
            assert b"committed" == (await reader.getone()).value


async def test_an_admin_client_sees_what_a_group_committed(
    servers: str, request: pytest.FixtureRequest
) -> None:
    expected_to_fail(request, "group offsets")
    name = await topic(servers)
    tp = TopicPartition(name, 0)
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(name, b"v", partition=0)
    async with consumer(servers, name, group_id=name) as reader:
        await reader.getone()
        await reader.commit()
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        async with asyncio.timeout(8):
            offsets = await admin.list_consumer_group_offsets(name)
    finally:
        await admin.close()
    assert 1 == offsets[tp].offset


async def test_records_can_be_deleted_from_the_beginning_of_a_partition(
    servers: str, request: pytest.FixtureRequest
) -> None:
    expected_to_fail(request, "deleting")
    name = await topic(servers)
    tp = TopicPartition(name, 0)
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for number in range(3):
            await producer.send_and_wait(name, b"%d" % number, partition=0)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        assert {tp: 2} == await admin.delete_records({tp: RecordsToDelete(2)})
    finally:
        await admin.close()
    async with consumer(servers, name) as reader:
        assert b"2" == (await reader.getone()).value


@pytest.mark.kafka
@pytest.mark.usefixtures("java")
async def test_records_and_commits_survive_a_killed_broker() -> None:
    async with KafkaCluster() as kafka:
        servers = kafka.bootstrap_servers
        name = await topic(servers)
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
            for number in range(2):
                await producer.send_and_wait(name, b"%d" % number, partition=0)
            async with consumer(servers, name, group_id="g") as reader:
                record = await reader.getone()
                await reader.commit({TopicPartition(name, 0): record.offset + 1})
            await kafka.kill(0)
            await kafka.restart(0)
            await producer.send_and_wait(name, b"2", partition=0)
        async with consumer(servers, name, group_id="g") as reader:
            assert [b"1", b"2"] == [(await reader.getone()).value for _ in range(2)]


@pytest.mark.kafka
@pytest.mark.usefixtures("java")
async def test_three_brokers_survive_the_loss_of_any_one() -> None:
    async with KafkaCluster(nodes=3) as kafka:
        name = await topic(kafka.bootstrap_servers)
        async with AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, acks="all"
        ) as producer:
            await producer.send_and_wait(name, b"0", partition=0)
            await kafka.kill(1)
            for number in range(1, 4):
                await producer.send_and_wait(name, b"%d" % number, partition=0)
            await kafka.restart(1)
            await producer.send_and_wait(name, b"4", partition=0)
        async with consumer(kafka.bootstrap_servers, name) as reader:
            values = [(await reader.getone()).value for _ in range(5)]
    assert [b"0", b"1", b"2", b"3", b"4"] == values


async def test_a_group_has_progress_once_it_has_committed_that_it_passed_a_record(
    servers: str,
) -> None:
    topic, other, group = (f"progress-{uuid4().hex}" for _ in range(3))
    await create_topics(servers, {topic: 3, other: 1})
    async with AIOKafkaConsumer(
        bootstrap_servers=servers, group_id=group, enable_auto_commit=False
    ) as consumer:
        place = TopicPartition(topic, 2)
        consumer.assign([place])
        seen = [await has_progress(servers, group, [topic])]
        for offset in (0, 1):
            await consumer.commit({place: offset})
            seen.append(await has_progress(servers, group, [other, topic]))
    seen.append(await has_progress(servers, group, [other]))
    seen.append(await has_progress(servers, f"not-{group}", [topic]))
    assert [False, False, True, False, False] == seen
