"""Any bytes in any header: the record is handled and sent on, and nothing raises."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.structs import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer

NAMES = st.one_of(
    st.sampled_from(
        ["traceparent", "tracestate", "baggage", "ce_id", "ce_source", "ce_type", "ce_time"]
    ),
    st.text(max_size=10),
)
PIECES = st.sampled_from(
    [
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"pipeline.name=orders,pipeline.origin=1700000000000",
        b"pipeline.origin=" + b"9" * 400,
        b"a=%ff,b=%zz",
        b"vendor=value",
        b"\xff\xfe",
        b"",
    ]
)
VALUES = st.one_of(PIECES, st.binary(max_size=100), st.none())
WELL_FORMED = st.lists(st.tuples(NAMES, VALUES), max_size=12)
ANYTHING = st.one_of(
    WELL_FORMED.map(tuple),
    st.none(),
    st.integers(),
    st.lists(st.one_of(st.integers(), st.text(max_size=3), st.tuples(NAMES, st.text()))),
)


@settings(max_examples=150, deadline=None)
@given(WELL_FORMED)
def test_a_record_with_any_headers_is_sent_handled_and_sent_on(
    headers: list[tuple[str, bytes | None]],
) -> None:
    asyncio.run(_through_the_pipeline(headers))


async def _through_the_pipeline(headers: list[tuple[str, bytes | None]]) -> None:
    broker = InMemoryBroker(partitions=1)
    with Capture() as capture:
        telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
        )
        raw = InMemoryProducer(broker)
        producer = TracedProducer(InMemoryProducer(broker), telemetry)
        bare = InMemoryConsumer("in", broker=broker, auto_offset_reset="earliest")
        async with producer, TracedConsumer(bare, telemetry) as consumer:
            await raw.send_and_wait("in", b"v", headers=headers)
            async for record in consumer:
                await producer.send_and_wait("out", record.value, headers=record.headers)
                break

        sent = list(broker.records("out")[0].headers)
        mine = [pair for pair in headers if pair[0] not in telemetry.propagation.fields]
        assert mine == [pair for pair in sent if pair in mine]
        assert [name for name, _ in sent].count("traceparent") == 1
        assert 2 == len(capture.spans())
        assert 0 == capture.metric("pipeline.telemetry.dropped")


@settings(max_examples=150, deadline=None)
@given(ANYTHING)
def test_headers_of_any_type_from_a_client_are_handled(headers: Any) -> None:
    handled = []
    with Capture() as capture:
        telemetry = Telemetry("orders", tracer_provider=capture.tracer_provider)
        bare = InMemoryConsumer(broker=InMemoryBroker())
        record: ConsumerRecord[Any, Any] = ConsumerRecord(
            "in", 0, 0, 0, 0, None, b"v", None, 0, 1, headers
        )

        async def handle() -> None:
            async with TracedConsumer(bare, telemetry).process(record):
                handled.append(record)

        asyncio.run(handle())

        assert [record] == handled
        assert 1 == len(capture.spans())
