"""Handles the same records on the flat path and by the general code, and shows what came out."""

from __future__ import annotations

import asyncio
import contextvars
import re
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING, Any, Final

from aiokafka.structs import ConsumerRecord, TopicPartition
from opentelemetry.context import get_current
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import Span

from tracing import Telemetry, TracedConsumer
from tracing.core.otel_context import (
    BAGGAGE_KEY,
    FLOW_KEY,
    PROCESSING_KEY,
    RECORD_KEY,
    SPAN_KEY,
)
from tracing.messaging.flat.engine import engine_of
from tracing.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    import pytest
    from opentelemetry.sdk.trace import ReadableSpan

    from tracing.messaging.flat.engine import Engine

TRACE: Final = b"0af7651916cd43dd8448eb211c80319c"
PARENT: Final = b"00-" + TRACE + b"-b7ad6b7169203331-01"
UNSAMPLED: Final = PARENT[:-1] + b"0"
NOW_MS: Final = int(time() * 1000)
BAGGAGE: Final = b"pipeline.name=orders,pipeline.origin=%d" % (NOW_MS - 5000)

Headers = list[tuple[str, Any]]


def headers(*more: tuple[str, Any], parent: bytes | None = PARENT) -> Headers:
    """Return the headers of an ordinary event, and more."""
    made: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"4711"),
        ("ce_source", b"/shop"),
        ("ce_type", b"OrderPlaced"),
        ("ce_subject", b"order-1"),
        ("ce_time", b"2026-01-02T03:04:05.678Z"),
    ]
    if parent is not None:
        made.append(("traceparent", parent))
    if not any(name == "baggage" for name, _ in more):
        made.append(("baggage", BAGGAGE))
    return [*made, *more]


def record(
    carried: Any, offset: int = 0, *, value: Any = b"v", timestamp: Any = NOW_MS - 1000
) -> Any:
    """Return a record of the topic `orders` with these headers."""
    return ConsumerRecord("orders", 0, offset, timestamp, 0, b"k", value, None, 1, 1, carried)


class Records:
    """A consumer that has these records."""

    def __init__(self, records: Iterable[Any]) -> None:
        self._records = list(records)

    def __aiter__(self) -> Records:
        return self

    async def __anext__(self) -> Any:
        if not self._records:
            raise StopAsyncIteration
        return self._records.pop(0)

    async def getone(self) -> Any:
        return await self.__anext__()

    async def getmany(self) -> dict[TopicPartition, list[Any]]:
        """Return all records."""
        records, self._records = self._records, []
        return {TopicPartition("orders", 0): records}

    async def stop(self) -> None:
        pass


@dataclass
class Way:
    """One of the two ways, and what came out of it."""

    consumer: TracedConsumer
    telemetry: Telemetry
    capture: Capture
    engine: Engine | None
    noted: list[Any] = field(default_factory=list)

    def context(self) -> list[str]:
        """Show the current context, except for what handles the record."""
        shown = {SPAN_KEY: "span", BAGGAGE_KEY: "baggage", FLOW_KEY: "flow", RECORD_KEY: "record"}
        return sorted(
            f"{shown.get(key, key)}: {_value(value)}"
            for key, value in get_current().items()
            if key != PROCESSING_KEY
        )


def _value(value: Any) -> str:
    if isinstance(value, Span):
        return str(_context(value))
    return str(dict(value) if hasattr(value, "items") else value)


def _context(span: Any) -> tuple[Any, ...]:
    context = span.get_span_context()
    own = context.span_id != int(PARENT[36:52], 16)
    trace = TRACE.decode() if context.trace_id == int(TRACE, 16) else "new"
    return trace, "own" if own else "sender's", int(context.trace_flags), context.is_remote


async def both_ways(
    monkeypatch: pytest.MonkeyPatch,
    records: Callable[[], Sequence[Any]],
    handle: Callable[[Way], Coroutine[Any, Any, object]],
    *,
    sampler: Sampler | None = None,
    **options: Any,
) -> Way:
    """Handle records both ways, compare the results, and return the flat one.

    Args:
        monkeypatch: Sets the switch.
        records: Makes the records.
        handle: Handles those of `way.consumer`, and notes in `way.noted` what is to be the same.
        sampler: The sampler; by default all is sampled whose parent is.
        options: The telemetry's.
    """
    ways = []
    for switch in ("off", "on"):
        monkeypatch.setenv("PIPELINE_TRACING_FLAT", switch)
        capture = Capture("shop", sampler=sampler or ParentBased(ALWAYS_ON))
        telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
            logger_provider=capture.logger_provider,
            **options,
        )
        bare: Any = Records(records())
        consumer = TracedConsumer(bare, telemetry, group="g")
        way = Way(consumer, telemetry, capture, engine_of(telemetry))
        # In a context of its own, which may be left as it is.
        await asyncio.create_task(handle(way), context=contextvars.Context())
        ways.append(way)
    general, flat = ways
    assert general.engine is None
    assert general.noted == flat.noted
    assert _spans(general.capture) == _spans(flat.capture)
    assert _metrics(general.capture) == _metrics(flat.capture)
    return flat


# What no two runs have in common is shown as its kind alone.
_MEASURED: Final = re.compile(r"\.duration$")


def _spans(capture: Capture) -> list[Any]:
    spans = capture.spans()
    names = {span.context.span_id: span.name for span in spans if span.context}
    names[int(PARENT[36:52], 16)] = "the sender's"
    return [_shown(span, names) for span in spans]


def _shown(span: ReadableSpan, names: dict[int, str]) -> tuple[Any, ...]:
    attributes = {
        name: "measured" if _MEASURED.search(name) else value
        for name, value in (span.attributes or {}).items()
    }
    assert span.start_time is not None
    assert span.end_time is not None
    return (
        span.name,
        span.kind,
        _context(span),
        span.parent and (names.get(span.parent.span_id), span.parent.is_remote),
        list(attributes.items()),
        [(names.get(link.context.span_id), dict(link.attributes or {})) for link in span.links],
        [(event.name, dict(event.attributes or {})) for event in span.events],
        (span.status.status_code, span.status.description),
        span.start_time <= span.end_time,
    )


def _metrics(capture: Capture) -> dict[Any, Any]:
    data = capture._metric_reader.get_metrics_data()
    shown: dict[Any, Any] = {}
    for resource in data.resource_metrics if data else ():
        for metric in (each for scope in resource.scope_metrics for each in scope.metrics):
            for point in metric.data.data_points:
                series = metric.name, tuple(sorted((point.attributes or {}).items()))
                counted = getattr(point, "count", None)
                shown[series] = (
                    getattr(point, "value", None) if counted is None else counted,
                    {bool(each.span_id) for each in getattr(point, "exemplars", None) or ()},
                )
    return shown
