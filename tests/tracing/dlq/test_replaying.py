"""Replays with errors and interruptions, and what they report."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from demo_pipeline.broker import create_topics
from tests.tracing.dlq.cluster import Cluster
from tracing import Provenance, Replay, Telemetry
from tracing.dlq import Connection, letters, replay
from tracing.testing import Capture, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.kafka, pytest.mark.integration]


@pytest.fixture
def cluster(kafka_servers: str) -> Cluster:
    cluster = Cluster(kafka_servers)
    asyncio.run(cluster.fill())
    return cluster


def test_without_telemetry_a_record_stays_in_the_failed_trace(cluster: Cluster) -> None:
    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--yes")

    contexts = [
        [value for name, value in record.headers if name == "traceparent"]
        for record in asyncio.run(cluster.records())
    ]
    assert sorted([b"00-%032x-%016x-01" % (n, n)] for n in (2, 4, 6)) == sorted(contexts)


def test_a_missing_dead_letter_fails_the_replay(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    present, missing = f"{cluster.of_payment}/0/0", f"{cluster.of_payment}/0/99"
    assert 1 == cluster.run("replay", "--id", present, "--id", missing, "--json")

    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (1, False) == (document["replayed"], document["complete"])
    assert f"tracing: there is no dead letter {missing}; it may have been purged\n" == captured.err
    assert 2 == cluster.run("replay", "--id", "no-such.dlq/0/0")
    assert "there is no dead-letter topic no-such.dlq" in capsys.readouterr().err


def test_records_without_provenance_are_listed_and_not_sent(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    async def send_other() -> None:
        async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
            await producer.send_and_wait(cluster.of_payment, b"whose?", partition=1)

    asyncio.run(send_other())
    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--yes", "--json")

    document = json.loads(capsys.readouterr().out)
    assert [f"{cluster.of_payment}/1/0"] == document["without_provenance_ids"]
    assert 3 == document["replayed"]
    assert 3 == len(asyncio.run(cluster.records()))


def test_a_complete_replay_prints_the_command_that_deletes_what_it_sent(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--yes")
    command = capsys.readouterr().out.splitlines()[-1].split()
    assert ["python", "-m", "tracing", "dlq", "purge"] == command[:5]

    assert 0 == cluster.run("purge", *command[5:], "--yes", "--json")

    assert 3 == json.loads(capsys.readouterr().out)["deleted"]


def test_after_ctrl_c_the_count_is_correct(cluster: Cluster) -> None:
    async def interrupted() -> tuple[int, Mapping[str, Any]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tracing", "dlq", "replay", "--topic", cluster.of_payment,
            "--bootstrap-servers", cluster.servers, "--yes", "--rate", "0.2", "--json",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await eventually(cluster.records, timeout_s=30)
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
        return process.returncode or 0, json.loads(output)

    code, document = asyncio.run(interrupted())

    assert (130, False) == (code, document["complete"])
    assert len(asyncio.run(cluster.records())) == document["replayed"]
    assert document["replayed"] in {1, 2}


async def test_headers_of_another_propagator_are_replaced(
    kafka_servers: str,
) -> None:
    class Other(TraceContextTextMapPropagator):
        """Writes a header that is not of the W3C."""

        def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
            setter.set(carrier, "x-other", "new")

        @property
        def fields(self) -> set[str]:
            return {"x-other"}

    both = CompositePropagator([TraceContextTextMapPropagator(), Other()])
    cluster = Cluster(kafka_servers)
    await cluster.fill()
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
        lost = Provenance(
            topic=cluster.topic, partition=0, offset=0, timestamp_ms=1, group="shipping",
            exception="E", message="", attempts=1, first_failed_at_ms=1, failed_at_ms=1,
        )  # fmt: skip
        headers = [("x-other", b"old"), ("baggage", b"a=b"), *lost.headers()]
        await producer.send_and_wait(cluster.of_shipping, b"v", headers=headers, partition=1)
    connection = Connection(kafka_servers)
    with Capture("dlq") as capture:
        telemetry = Telemetry("orders", tracer_provider=capture.tracer_provider, propagator=both)
        await replay(connection, letters(connection, [cluster.of_shipping]), telemetry)

    (record,) = [record for record in await cluster.records() if record.value == b"v"]
    assert [b"new"] == [value for name, value in record.headers if name == "x-other"]
    assert [b"a=b"] == [value for name, value in record.headers if name == "baggage"]


async def test_a_record_without_key_and_value_is_replayed_unchanged(
    kafka_servers: str,
) -> None:
    cluster = Cluster(kafka_servers)
    await create_topics(kafka_servers, {cluster.topic: 2, cluster.of_payment: 1})
    async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
        lost = Provenance(
            topic=cluster.topic, partition=1, offset=0, timestamp_ms=1, group="payment",
            exception="E", message="", attempts=1, first_failed_at_ms=1, failed_at_ms=1,
        )  # fmt: skip
        batch = producer.create_batch()
        batch.append(timestamp=None, key=None, value=None, headers=lost.headers())
        await (await producer.send_batch(batch, cluster.of_payment, partition=0))
    connection = Connection(kafka_servers)

    result = await replay(
        connection, letters(connection, [cluster.of_payment]), Telemetry("orders")
    )

    assert (1, 0) == (result.sent, result.failures)
    (record,) = await cluster.records()
    assert (None, None, 1) == (record.key, record.value, record.partition)
    assert Replay(group="payment", id=f"{cluster.topic}/1/0") == Replay.from_headers(record.headers)
