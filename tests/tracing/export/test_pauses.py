"""The exporting thread pauses for the event loop, but not while spans pile up."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind

from tests.tracing.export.collectors import Collector
from tracing import otlp
from tracing.export.span_encoding import SpanEncoder
from tracing.export.span_exporter import Pauses
from tracing.spans.choose import span_starter


def _spans(number: int) -> list[ReadableSpan]:
    ended: list[ReadableSpan] = []

    class Keeps(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.append(span)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Keeps())
    starter = span_starter(provider)
    for _ in range(number):
        starter.start("send t", Context(), SpanKind.PRODUCER, {"a": "b"}).end()
    return ended


def _decoded(request: bytes) -> list[bytes]:
    return sorted(
        span.SerializeToString()
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


@pytest.mark.parametrize("number", [0, 1, 64, 512])
def test_encoding_pauses_between_slices_and_gives_the_same_spans(number: int) -> None:
    pauses: list[None] = []
    spans = _spans(number)

    encoded = SpanEncoder(lambda: pauses.append(None)).encode(spans)

    assert _decoded(SpanEncoder().encode(spans)) == _decoded(encoded)
    assert number // 64 == len(pauses)


@pytest.mark.parametrize(
    ("waiting", "expected"), [(None, 1), (0, 1), (1023, 1), (1024, 0), (2048, 0)]
)
def test_no_pause_is_made_while_spans_pile_up(
    waiting: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    pauses = Pauses()
    if waiting is not None:
        pauses.queue = deque(range(waiting), 2048)
    pauses()

    assert expected == len(slept)


def test_the_configured_exporter_checks_its_own_queue_before_pausing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(Pauses, "__call__", lambda pauses: seen.append(pauses.queue))
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        providers = otlp.configure("s")
        starter = span_starter(providers.tracer_provider)
        for _ in range(64):
            starter.start("send t", Context(), SpanKind.PRODUCER, {"a": "b"}).end()
        providers.shutdown()

        assert 64 == len(collector.spans())
    # Between slices, and before sending.
    assert 2 == len(seen)
    assert all(queue is not None and queue.maxlen == 2048 for queue in seen)
