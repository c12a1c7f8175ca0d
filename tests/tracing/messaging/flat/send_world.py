"""A producer of an in-memory broker, on the flat path or not, and all that its sends leave."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from tracing import Telemetry, TracedProducer
from tracing.core.otel_context import BAGGAGE_KEY, FLOW_KEY, SPAN_KEY
from tracing.headers.w3c import RemoteSpan
from tracing.messaging.flat.engine import Engine, engine_of
from tracing.testing import Capture, InMemoryBroker, InMemoryProducer
from tracing.testing.metric_values import points_of

Case = Callable[[TracedProducer], Awaitable[object]]
"""What is sent."""

SAMPLED = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = SAMPLED[:-2] + b"02"
MOMENT = datetime.now(UTC)


class SendWorld:
    """A producer of an in-memory broker, and all that it leaves behind."""

    def __init__(
        self,
        sampler: Sampler | None = None,
        tracer_provider: TracerProvider | None = None,
        **options: Any,
    ) -> None:
        self.capture = Capture("orders", sampler=sampler)
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=tracer_provider or self.capture.tracer_provider,
            meter_provider=self.capture.meter_provider,
            logger_provider=self.capture.logger_provider,
            source="/orders",
            **options,
        )
        self.broker = InMemoryBroker()
        self.broker.create_topic("orders", partitions=1)
        self.producer = TracedProducer(InMemoryProducer(self.broker), self.telemetry)

    @property
    def engine(self) -> Engine:
        engine = engine_of(self.telemetry)
        assert engine is not None
        return engine

    async def left_by(self, case: Case) -> list[str]:
        """Return what a case leaves behind, one line for each header, attribute and value."""
        async with self.producer:
            await case(self.producer)
            await asyncio.sleep(0)
        lines = [
            _known(f"header {name} {value!r}")
            for record in self.broker.records("orders")
            for name, value in record.headers
        ]
        names = {
            context.span_id: span.name
            for span in self.capture.spans()
            if (context := span.get_span_context()) is not None
        }
        for span in self.capture.spans():
            if span.name.startswith("send"):
                lines += _lines(span, names)
        for logged in self.capture.log_records():
            lines.append(f"log {logged.log_record.event_name} {logged.log_record.span_id != 0}")
        for point in points_of(self.capture._metric_reader.get_metrics_data()):
            if point.name.startswith(("messaging.", "pipeline.")):
                labels = sorted(f"{label}={content!r}" for label, content in point.attributes)
                lines.append(f"{point.name} {labels} {getattr(point.value, 'count', point.value)}")
        self.capture.shutdown()
        return lines


def _lines(span: ReadableSpan, names: dict[int, str]) -> Iterator[str]:
    context = span.get_span_context()
    assert context is not None
    parent = span.parent
    yield f"span {span.name} {span.kind} {span.status.status_code} {len(span.links)}"
    yield f"flags {context.trace_flags} {context.is_remote} {context.trace_state!r}"
    if parent is not None:
        known = names.get(parent.span_id, parent.span_id)
        yield f"parent {known} {parent.is_remote} {parent.trace_flags}"
    for name, value in (span.attributes or {}).items():
        yield _known(f"attribute {name} {value!r}")


def _known(line: str) -> str:
    """Replace what is different each time: ids and the current time."""
    line = re.sub(r"00-(?!4bf92f)[0-9a-f]{32}", "00-new", line)
    line = re.sub(r"-(?!00f067)[0-9a-f]{16}-", "-new-", line)
    line = re.sub(r"(id\S*) b?'[0-9a-f]{32}'", r"\1 new", line)
    line = re.sub(r"20\d\d-\d\d-\d\dT[\d:]*\.\d{3}Z", "now", line)
    return re.sub(r"\b(pipeline.origin\D+)1[789]\d{11}", r"\1now", line)


@contextmanager
def current(context: Context) -> Iterator[None]:
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


def sends(headers: list[Any] | None = None, value: bytes | None = b"v", **more: Any) -> Case:
    async def case(producer: TracedProducer) -> None:
        await producer.send_and_wait("orders", value, b"k", headers=headers, **more)
        future = await producer.send("orders", value, b"k", headers=headers, **more)
        await future

    return case


def below(context: Callable[[], Context], headers: list[Any] | None = None) -> Case:
    async def case(producer: TracedProducer) -> None:
        with current(context()):
            await sends(headers)(producer)

    return case


def remote(traceparent: bytes, flow: dict[str, str] | None = None) -> Context:
    entries: dict[str, object] = {SPAN_KEY: RemoteSpan(traceparent, None)}
    if flow is not None:
        entries |= {BAGGAGE_KEY: flow, FLOW_KEY: flow}
    return Context(entries)


def span_of_the_application(flags: int, *, is_remote: bool = False) -> Context:
    ids = SpanContext(
        0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, is_remote, TraceFlags(flags)
    )
    return set_span_in_context(NonRecordingSpan(ids), Context())


SAMPLERS = {
    "on": ALWAYS_ON,
    "off": ALWAYS_OFF,
    "as the parent": ParentBased(ALWAYS_ON),
    "as the parent, roots off": ParentBased(ALWAYS_OFF),
}
