"""Offsets without records are committed: a handled transactional topic has no lag."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiokafka.structs import TopicPartition

import tracing
from tracing.testing import eventually

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from tests.tracing.conftest import Clients, _InMemory
    from tracing import TracedConsumer

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def kafka(request: pytest.FixtureRequest, telemetry: Any) -> Any:
    from contextlib import AsyncExitStack  # noqa: PLC0415 - of this fixture alone

    from tests.tracing.conftest import _Real  # noqa: PLC0415 - of this fixture alone

    async with AsyncExitStack() as stack:
        clients = _Real(telemetry, stack)
        clients.servers = request.getfixturevalue("kafka_servers")
        yield clients


async def transactions(clients: Clients, topic: str, *outcomes: bool) -> None:
    """Write a record in each of so many transactions, which commit or abort."""
    producer: AIOKafkaProducer = await clients.producer(transactional_id=uuid4().hex)
    for commits in outcomes:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"v", partition=0)
        if commits:
            await producer.commit_transaction()
        else:
            await producer.abort_transaction()


async def committed(consumer: TracedConsumer, topic: str) -> int | None:
    return await consumer.committed(TopicPartition(topic, 0))


async def nothing(_record: Any) -> None:
    """Do nothing."""


@pytest.mark.kafka
@pytest.mark.integration
@pytest.mark.parametrize(
    ("outcomes", "end"), [((True,), 2), ((False, False), 4), ((True, False), 4)]
)
async def test_the_end_of_the_log_is_committed_while_consume_runs(
    kafka: Clients, outcomes: tuple[bool, ...], end: int
) -> None:
    topic = await kafka.topic()
    await transactions(kafka, topic, *outcomes)
    consumer = await kafka.consumer(topic, group="g", isolation_level="read_committed")
    stop = asyncio.Event()
    loop = asyncio.create_task(tracing.consume(consumer, nothing, stop=stop, commit_interval_s=0.1))

    async def all_committed() -> bool:
        return await committed(consumer, topic) == end

    await eventually(all_committed, timeout_s=60)
    stop.set()
    await asyncio.wait_for(loop, 60)


@pytest.mark.kafka
@pytest.mark.integration
async def test_the_end_of_the_log_is_committed_when_consume_leaves(kafka: Clients) -> None:
    topic = await kafka.topic()
    await transactions(kafka, topic, True)
    consumer = await kafka.consumer(topic, group="g", isolation_level="read_committed")
    stop = asyncio.Event()

    async def handler(_record: Any) -> None:
        stop.set()

    await asyncio.wait_for(tracing.consume(consumer, handler, stop=stop, commit_interval_s=60), 60)

    assert 2 == await committed(consumer, topic)


async def test_a_quiet_topic_is_committed_once(
    memory: _InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="g")
    commits: list[dict[TopicPartition, int]] = []
    real = consumer.wrapped.commit

    async def counted(offsets: Any = None) -> None:
        commits.append(offsets)
        await real(offsets)

    monkeypatch.setattr(consumer.wrapped, "commit", counted)
    polls = 0
    fetch = consumer.wrapped.getmany

    async def counted_polls(*args: Any, **options: Any) -> Any:
        nonlocal polls
        polls += 1
        return await fetch(*args, **options)

    monkeypatch.setattr(consumer.wrapped, "getmany", counted_polls)
    stop = asyncio.Event()
    loop = asyncio.create_task(
        tracing.consume(consumer, nothing, stop=stop, commit_interval_s=0.001)
    )
    await eventually(lambda: polls > 5)
    stop.set()
    await asyncio.wait_for(loop, 30)

    assert [{TopicPartition(topic, 0): 1}] == commits


async def test_records_fetched_but_not_handled_are_not_committed(memory: _InMemory) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="g")
    stop = asyncio.Event()

    async def hangs(_record: Any) -> None:
        stop.set()
        await asyncio.Event().wait()

    await asyncio.wait_for(
        tracing.consume(consumer, hangs, stop=stop, drain_timeout_s=0.05, commit_interval_s=0.001),
        30,
    )

    assert None is await committed(consumer, topic)
