"""A flow passes through a service that has only stock OpenTelemetry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from opentelemetry import propagate
from opentelemetry.context import attach, detach
from opentelemetry.instrumentation.aiokafka import AIOKafkaInstrumentor

from demo_pipeline.broker import create_topics
from tracing import TracedConsumer, TracedProducer
from tracing.testing import assert_span_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracing import Telemetry
    from tracing.testing import Capture

pytestmark = pytest.mark.integration

BEFORE, BEHIND = "before-a-stock-hop", "behind-a-stock-hop"
STAY_S = 0.3


@pytest.fixture
def official(capture: Capture) -> Iterator[None]:
    instrumentor = AIOKafkaInstrumentor()
    instrumentor.instrument(tracer_provider=capture.tracer_provider)
    yield
    instrumentor.uninstrument()


def _consumer(servers: str, topic: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic, bootstrap_servers=servers, auto_offset_reset="earliest", fetch_max_wait_ms=10
    )


async def _stock_service(servers: str) -> None:
    """One message through a service with the official instrumentation and nothing of ours."""
    async with (
        _consumer(servers, BEFORE) as consumer,
        AIOKafkaProducer(bootstrap_servers=servers) as producer,
    ):
        record = await consumer.getone()
        carrier = {name: (value or b"").decode() for name, value in record.headers}
        token = attach(propagate.extract(carrier))
        time.sleep(STAY_S)  # noqa: ASYNC251 - work, so that the hop has a duration to be seen
        await producer.send_and_wait(BEHIND, record.value)
        detach(token)


@pytest.mark.usefixtures("official")
async def test_origin_and_trace_survive_a_service_with_stock_opentelemetry(
    embedded_servers: str, telemetry: Telemetry, capture: Capture
) -> None:
    await create_topics(embedded_servers, dict.fromkeys((BEFORE, BEHIND), 1))
    producer = TracedProducer(AIOKafkaProducer(bootstrap_servers=embedded_servers), telemetry)
    consumer = TracedConsumer(_consumer(embedded_servers, BEHIND), telemetry, group="last")
    async with producer, consumer:
        await producer.send_and_wait(BEFORE, b"v")
        await _stock_service(embedded_servers)
        async for _ in consumer:
            break

    assert_span_tree(
        [span for span in capture.spans() if span.name != f"{BEFORE} receive"],
        f"""
        send {BEFORE} PRODUCER
          {BEHIND} send PRODUCER
            process {BEHIND} CONSUMER
        """,
    )
    lag: Any = capture.metric("pipeline.end_to_end.duration", {"pipeline": "orders"})
    waited: Any = capture.metric("pipeline.wait.duration", {"pipeline": "orders"})
    assert (1, 1) == (lag.count, waited.count)
    # From the root event: with what the stock service took, which the last wait does not have.
    assert lag.sum >= STAY_S + waited.sum
