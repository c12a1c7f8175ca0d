"""Every kind of span of the library follows the semantic conventions, on every broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.semconv.conformance import span_violations
from tests.tracing.delivery.giving_up import given_up
from tracing import Telemetry

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients
    from tracing.testing import Capture


@pytest.fixture
def telemetry(capture: Capture) -> Telemetry:
    """Telemetry with every optional span and attribute."""
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        logger_provider=capture.logger_provider,
        commit_spans=True,
        create_spans=True,
        message_keys=True,
        body_sizes=True,
    )


async def test_all_kinds_of_spans_follow_the_conventions(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v", b"k", partition=0)
    await producer.send_and_wait(topic, None, b"k", partition=0)
    batch = producer.create_batch()
    batch.append(timestamp=None, key=b"k", value=b"v")
    await (await producer.send_batch(batch, topic, partition=0))
    consumer = await clients.consumer(topic, group="g")
    records: list[Any] = []
    while len(records) < 3:
        for polled in (await consumer.getmany(timeout_ms=200)).values():
            records += polled
    async with consumer.process_batch(records):
        pass
    for record in records:
        async with consumer.process(record):
            pass
    await consumer.commit()
    await given_up(clients, topic)

    spans = capture.spans()
    assert [] == span_violations(spans)
    operations = {(span.attributes or {}).get("messaging.operation.name") for span in spans}
    assert {"create", "send", "poll", "process", "commit", "retry", "dead_letter"} == operations
    names = {name for span in spans for name in span.attributes or {}}
    assert {"kafka.offset", "kafka.message.key", "kafka.message.tombstone"} <= names
