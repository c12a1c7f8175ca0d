"""Replays that do not go as planned, and what is on its way then."""

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
    found = Cluster(kafka_servers)
    asyncio.run(found.fill())
    return found


def test_without_telemetry_a_record_stays_in_the_trace_that_failed(cluster: Cluster) -> None:
    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--yes")

    written = [
        [value for name, value in record.headers if name == "traceparent"]
        for record in asyncio.run(cluster.records())
    ]
    assert sorted([b"00-%032x-%016x-01" % (n, n)] for n in (2, 4, 6)) == sorted(written)


def test_a_letter_that_is_not_there_fails_the_replay(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    there, gone = f"{cluster.of_payment}/0/0", f"{cluster.of_payment}/0/99"
    assert 1 == cluster.run("replay", "--id", there, "--id", gone, "--json")

    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (1, False) == (document["replayed"], document["complete"])
    assert f"tracing: there is no dead letter {gone}; it may have been purged\n" == captured.err
    assert 2 == cluster.run("replay", "--id", "no-such.dlq/0/0")
    assert "there is no dead-letter topic no-such.dlq" in capsys.readouterr().err


def test_records_without_provenance_are_named_and_left_alone(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    async def stranger() -> None:
        async with AIOKafkaProducer(bootstrap_servers=cluster.servers) as producer:
            await producer.send_and_wait(cluster.of_payment, b"whose?", partition=1)

    asyncio.run(stranger())
    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--yes", "--json")

    document = json.loads(capsys.readouterr().out)
    assert [f"{cluster.of_payment}/1/0"] == document["without_provenance_ids"]
    assert 3 == document["replayed"]
    assert 3 == len(asyncio.run(cluster.records()))


def test_a_complete_replay_tells_how_to_delete_exactly_what_it_sent(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == cluster.run("replay", "--topic", cluster.of_payment, "--yes")
    command = capsys.readouterr().out.splitlines()[-1].split()
    assert ["python", "-m", "tracing", "dlq", "purge"] == command[:5]

    assert 0 == cluster.run("purge", *command[5:], "--yes", "--json")

    assert 3 == json.loads(capsys.readouterr().out)["deleted"]


def test_ctrl_c_leaves_a_count_that_is_true(cluster: Cluster) -> None:
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


async def test_a_propagator_with_headers_of_its_own_has_them_replaced(
    kafka_servers: str,
) -> None:
    class Other(TraceContextTextMapPropagator):
        """Writes a header that the W3C does not know."""

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


async def test_a_record_with_neither_key_nor_value_is_replayed_as_it_was(
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

    found = await replay(connection, letters(connection, [cluster.of_payment]), Telemetry("orders"))

    assert (1, 0) == (found.sent, found.failures)
    (record,) = await cluster.records()
    assert (None, None, 1) == (record.key, record.value, record.partition)
    assert Replay(group="payment", id=f"{cluster.topic}/1/0") == Replay.from_headers(record.headers)
