"""Beside the official instrumentation and with zero-code, nothing is counted twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import aiokafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from opentelemetry.instrumentation.aiokafka import AIOKafkaInstrumentor

from demo_pipeline.broker import create_topics
from tests.tracing.conftest import PARTITIONS
from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.kafka.instrumentor import PipelineTracingInstrumentor
from tracing.testing import Capture, assert_span_tree

pytestmark = pytest.mark.integration


@pytest.fixture
def official(capture: Capture) -> Iterator[AIOKafkaInstrumentor]:
    instrumentor = AIOKafkaInstrumentor()
    instrumentor.instrument(tracer_provider=capture.tracer_provider)
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


@pytest.fixture
async def topic(embedded_servers: str, request: pytest.FixtureRequest) -> str:
    name = f"coexistence-{abs(hash(request.node.name))}"
    await create_topics(embedded_servers, {name: PARTITIONS})
    return name


def clients(servers: str, topic: str) -> tuple[AIOKafkaProducer, AIOKafkaConsumer]:
    return (
        AIOKafkaProducer(bootstrap_servers=servers),
        AIOKafkaConsumer(
            topic, bootstrap_servers=servers, auto_offset_reset="earliest", fetch_max_wait_ms=10
        ),
    )


async def round_trip(producer: TracedProducer, consumer: TracedConsumer, topic: str) -> None:
    async with producer, consumer:
        await producer.send_and_wait(topic, b"v")
        async for _ in consumer:
            break


async def test_wrapped_clients_suppress_the_official_spans(
    official: AIOKafkaInstrumentor,
    capture: Capture,
    telemetry: Telemetry,
    embedded_servers: str,
    topic: str,
) -> None:
    producer, consumer = clients(embedded_servers, topic)

    await round_trip(
        TracedProducer(producer, telemetry), TracedConsumer(consumer, telemetry), topic
    )

    assert_span_tree(capture.spans(), f"send {topic} PRODUCER\n  process {topic} CONSUMER")


async def test_zero_code_clients_make_the_same_trace(
    capture: Capture, embedded_servers: str, topic: str
) -> None:
    instrumentor = PipelineTracingInstrumentor()
    instrumentor.instrument(
        pipeline="orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
    )
    try:
        producer, consumer = clients(embedded_servers, topic)
        async with producer, consumer:
            await producer.send_and_wait(topic, b"1", key=b"k")
            batch = producer.create_batch()
            batch.append(timestamp=None, key=b"k", value=b"2")
            await (await producer.send_batch(batch, topic, partition=0))
            handled = 0
            async for _ in consumer:
                handled += 1
                if handled == 2:
                    break
    finally:
        instrumentor.uninstrument()

    assert_span_tree(
        capture.spans(),
        f"""
        send {topic} PRODUCER
          process {topic} CONSUMER
        create {topic} PRODUCER
          process {topic} CONSUMER
        send {topic} CLIENT
        """,
    )
    assert 2 == capture.metric("messaging.client.consumed.messages")
    assert not hasattr(aiokafka.AIOKafkaProducer.send, "__wrapped__")


async def test_wrapping_beside_zero_code_counts_once(
    capture: Capture, telemetry: Telemetry, embedded_servers: str, topic: str
) -> None:
    instrumentor = PipelineTracingInstrumentor()
    instrumentor.instrument(pipeline="zero", tracer_provider=capture.tracer_provider)
    try:
        producer, consumer = clients(embedded_servers, topic)
        await round_trip(
            TracedProducer(producer, telemetry), TracedConsumer(consumer, telemetry), topic
        )
    finally:
        instrumentor.uninstrument()

    assert_span_tree(capture.spans(), f"send {topic} PRODUCER\n  process {topic} CONSUMER")


async def test_zero_code_switches_the_official_instrumentation_off(
    official: AIOKafkaInstrumentor, capture: Capture, embedded_servers: str, topic: str
) -> None:
    instrumentor = PipelineTracingInstrumentor()
    instrumentor.instrument(pipeline="orders", tracer_provider=capture.tracer_provider)
    try:
        producer, consumer = clients(embedded_servers, topic)
        async with producer, consumer:
            await producer.send_and_wait(topic, b"v")
            async for _ in consumer:
                break
    finally:
        instrumentor.uninstrument()

    assert not official.is_instrumented_by_opentelemetry
    assert_span_tree(capture.spans(), f"send {topic} PRODUCER\n  process {topic} CONSUMER")


def test_opentelemetry_instrument_finds_the_instrumentor() -> None:
    found = {point.name: point for point in entry_points(group="opentelemetry_instrumentor")}

    assert found["pipeline-tracing"].load() is PipelineTracingInstrumentor


def test_a_program_under_opentelemetry_instrument_is_traced(
    embedded_servers: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, sys\n"
        "from aiokafka import AIOKafkaProducer\n"
        "async def main():\n"
        "    async with AIOKafkaProducer(bootstrap_servers=sys.argv[1]) as producer:\n"
        "        await producer.send_and_wait('zero-code', b'v', key=b'k')\n"
        "asyncio.run(main())\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "zero",
    }

    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("opentelemetry-instrument")),
            sys.executable,
            str(program),
            embedded_servers,
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert 1 == done.stdout.count('"name": "send zero-code"'), done.stderr
    assert '"pipeline.name": "zero"' in done.stdout
    assert "zero-code send" not in done.stdout
