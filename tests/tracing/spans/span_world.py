"""A provider whose spans are the SDK's own or flat ones, for comparisons."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import (
    ReadableSpan,
    Span,
    SpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind

from tracing.spans.choose import span_starter
from tracing.spans.flat import FlatSpan, FlatSpans, SpanPlan

NEVER_MS = 3_600_000


class Exported(SpanExporter):
    def __init__(self) -> None:
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS


class Asleep(threading.Event):
    """Does not awaken a thread that would empty the queue."""

    def set(self) -> None:
        """Do nothing."""


class Probe(FlatSpan):
    __slots__ = ()

    def own_attributes(self) -> dict[str, Any]:
        return {}

    def encode_own(self, fields: list[bytes]) -> None:
        """It has none."""


class World:
    """A provider whose spans are the SDK's own or flat ones."""

    def __init__(self, *processors: SpanProcessor, flat: bool = True, multi: Any = None) -> None:
        self.provider = TracerProvider(
            sampler=ALWAYS_ON, shutdown_on_exit=False, active_span_processor=multi
        )
        for processor in processors:
            self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("t")
        self.spans = FlatSpans.of(span_starter(self.provider)) if flat else None
        self.kind = None if self.spans is None else self.spans.kind(Probe)

    def start(self, name: str) -> Span:
        if self.spans is None or self.kind is None:
            started = self.tracer.start_span(name, Context())
            assert isinstance(started, Span)
            return started
        span: Probe = object.__new__(self.kind)
        span.plan = SpanPlan(name, SpanKind.INTERNAL, {})
        span.traceparent = self.spans.root() or b""
        span.above, span.above_is_remote = None, False
        span.start_ns, span.end_ns, span.added = 1, None, None
        start = self.spans.hand_over.start
        if start is not None:
            start(span, Context())
        return span

    def end(self, span: Span) -> None:
        if isinstance(span, Probe):
            span.finish(2)
        else:
            span.end(2)

    def run(self, *names: str) -> None:
        for name in names:
            self.end(self.start(name))


def batch(exporter: SpanExporter, size: int = 512, room: int = 2048) -> BatchSpanProcessor:
    return BatchSpanProcessor(exporter, room, NEVER_MS, size)


def both(act: Callable[[bool], Any]) -> Any:
    """Return the result with flat spans, which is that with the SDK's own."""
    expected = act(False)
    assert expected == act(True)
    return expected
