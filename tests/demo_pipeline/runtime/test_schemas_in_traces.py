"""Which versions of a schema a service writes and reads, in its traces and metrics."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

import tracing
from demo_pipeline.domain.codec import Codec, headers_of
from demo_pipeline.domain.events import OrderPlaced
from demo_pipeline.domain.schemas import committed
from demo_pipeline.domain.topics import ORDERS
from demo_pipeline.runtime.consuming import record_handler
from demo_pipeline.services import SERVICES
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SUBJECT = "demo_pipeline.OrderPlaced"
SCHEMA_ID = committed().id_of(committed().released("OrderPlaced", 2))
DAMAGED = (
    f"orders.events[0] offset 0 cannot be decoded: its value names the schema with id {SCHEMA_ID} "
    "(demo_pipeline.OrderPlaced version 2), and does not fit it (EOFError). Either the reader's "
    "version 1 is not compatible with the written one: correct it, and replay this dead letter. Or "
    "the bytes are damaged: correct their producer."
)


def _of_schemas(attributes: Mapping[str, Any] | None) -> dict[str, object]:
    prefix = "pipeline.schema."
    return {
        name.removeprefix(prefix): value
        for name, value in (attributes or {}).items()
        if name.startswith(prefix)
    }


@pytest.mark.parametrize(
    ("spoiled", "outcomes"),
    [(False, {"written": 1, "read": 1}), (True, {"written": 1, "undecodable": 1})],
)
async def test_spans_and_metrics_have_the_written_version_and_that_of_the_reader(
    open_context: Any, make_order: Callable[..., Any], *, spoiled: bool, outcomes: dict[str, int]
) -> None:
    with Capture() as capture:
        telemetry = tracing.Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
            source="/notification",
        )
        codec = Codec(telemetry=telemetry, writes={"OrderPlaced": (2,)}, reads={"OrderPlaced": 1})
        context = dataclasses.replace(await open_context("notification"), codec=codec)
        broker = InMemoryBroker(partitions=1)
        producer = tracing.TracedProducer(InMemoryProducer(broker=broker), telemetry)
        bare = InMemoryConsumer(ORDERS, broker=broker, group_id="g", auto_offset_reset="earliest")
        consumer = tracing.TracedConsumer(bare, telemetry, group="g")
        await producer.start()
        await consumer.start()

        placed = OrderPlaced(make_order())
        value = codec.encode(placed)
        value = value[:40] if spoiled else value
        await producer.send_and_wait(ORDERS, value, headers=headers_of(placed))
        record = await consumer.getone()
        with pytest.raises(tracing.UndecodableRecord) if spoiled else nullcontext() as raised:
            async with consumer.process(record):
                await record_handler(SERVICES["notification"], context)(record)
        assert str(raised and raised.value) == (DAMAGED if spoiled else "None")

        written = {"id": str(SCHEMA_ID), "subject": SUBJECT, "version": 2}
        assert {
            "send orders.events": written,
            "process orders.events": {**written, "reader.version": 1},
        } == {
            span.name: schema
            for span in capture.spans()
            if (schema := _of_schemas(span.attributes))
        }
        assert outcomes == {
            outcome: count
            for outcome in ("written", "read", "undecodable", "unknown_id")
            if (
                count := capture.metric(
                    "pipeline.schema.records",
                    {
                        "subject": SUBJECT,
                        "version": "2",
                        "outcome": outcome,
                    },
                )
            )
        }
