"""Dead letters written in transactions: only committed ones count."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from tests.tracing.dlq.cluster import Cluster
from tracing import Provenance, Telemetry
from tracing.dlq import Connection, letters, replay

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
def cluster(kafka_servers: str) -> Cluster:
    cluster = Cluster(kafka_servers)
    asyncio.run(cluster.fill())
    return cluster


def _producer(cluster: Cluster) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=cluster.servers, transactional_id=f"t-{uuid4().hex[:8]}"
    )


async def _put(producer: AIOKafkaProducer, cluster: Cluster, offset: int) -> None:
    provenance = Provenance(
        topic=cluster.topic, partition=0, offset=offset, timestamp_ms=1, group="payment",
        exception="KeyError", message="", attempts=1, first_failed_at_ms=1, failed_at_ms=1,
    )  # fmt: skip
    await producer.send_and_wait(
        cluster.of_payment, b"dead letter", headers=provenance.headers(), partition=0
    )


def _offsets(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> list[int]:
    assert 0 == cluster.run("list", "--topic", cluster.of_payment, "--each", "--json")
    return [dead_letter["offset"] for dead_letter in json.loads(capsys.readouterr().out)]


def test_a_dead_letter_of_an_aborted_transaction_does_not_count(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    async def write() -> None:
        async with _producer(cluster) as producer:
            await producer.begin_transaction()
            await _put(producer, cluster, 100)
            await producer.abort_transaction()
            async with producer.transaction():
                await _put(producer, cluster, 7)

    asyncio.run(write())

    assert [1, 3, 5, 7] == _offsets(cluster, capsys)
    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--yes", "--json")
    assert 4 == json.loads(capsys.readouterr().out)["replayed"]
    assert 4 == len(asyncio.run(cluster.records()))


def test_an_open_transaction_does_not_delay_a_list(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    async def listed_meanwhile() -> list[int]:
        async with _producer(cluster) as producer:
            await producer.begin_transaction()
            await _put(producer, cluster, 100)
            offsets = await asyncio.to_thread(_offsets, cluster, capsys)
            await producer.abort_transaction()
            return offsets

    assert [1, 3, 5] == asyncio.run(listed_meanwhile())
    assert [1, 3, 5] == _offsets(cluster, capsys)


def test_a_replay_by_a_transactional_producer_is_refused(cluster: Cluster) -> None:
    connection = Connection(cluster.servers, {"transactional_id": "tx"})
    dead_letters = letters(Connection(cluster.servers), [cluster.of_payment])

    with pytest.raises(ValueError, match="replay cannot send with the transactional producer"):
        asyncio.run(replay(connection, dead_letters, Telemetry("orders")))
