"""The spans of ordinary messages are encoded in few steps: nothing else shows that one is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from tracing import Telemetry, TracedConsumer, TracedProducer, cloudevent
from tracing.export.span_encoding import SpanEncoder
from tracing.messaging.flat.process_span import ProcessSpan
from tracing.messaging.flat.send import SentSpan
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer

if TYPE_CHECKING:
    from tracing.headers.codec import Header

MESSAGES: Final = 3


class Ended(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def _described() -> None:
    trace.get_current_span().set_attribute("order.id", "o-17")
    trace.get_current_span().set_attributes({"total": 4200, "express": True})


def _nothing() -> None:
    """Do nothing."""


@pytest.mark.parametrize("handle", [_nothing, _described])
@pytest.mark.parametrize("headers", [[], cloudevent(type="OrderPlaced", subject="order-17")])
async def test_ordinary_messages(handle: Any, headers: list[Header]) -> None:
    ended, broker = Ended(), InMemoryBroker(partitions=1)
    with Capture("shop") as capture:
        capture.tracer_provider.add_span_processor(ended)
        telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
        )
        bare: Any = InMemoryProducer(broker)
        async with TracedProducer(bare, telemetry) as producer:
            for _ in range(MESSAGES):
                await producer.send_and_wait("orders", b"v", headers=list(headers))
        source: Any = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
        async with TracedConsumer(source, telemetry) as consumer:
            async for record in consumer:
                handle()
                if record.offset == MESSAGES - 1:
                    break
        SpanEncoder().encode(ended.spans)

        # The loop is left while the last record is handled, which is not usual.
        ordinary: Any = [
            span
            for span in ended.spans
            if (isinstance(span, SentSpan) and (0, MESSAGES - 1) == span.placed)
            or (isinstance(span, ProcessSpan) and span.offset == MESSAGES - 2)
        ]
        assert 2 == len(ordinary)
        for span in ordinary:
            # Each of its attributes has a slot.
            assert {} == vars(span)
            assert span.encode_usual() is not None
