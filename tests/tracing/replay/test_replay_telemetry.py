"""What a replay reports: spans and metrics of its own, and nothing in those of consumers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace

from tests.tracing.replay.doubles import Log, LogSource, decode
from tracing.core import semconv
from tracing.replay import ReplayedBatch, ReplayOptions, current_replay, replay

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing import Telemetry
    from tracing.testing import Capture

_OF_CONSUMERS = (
    "pipeline.wait.duration",
    "pipeline.end_to_end.duration",
    "pipeline.publish.duration",
    "messaging.process.duration",
    "messaging.client.consumed.messages",
)


def _traced(number: int) -> list[tuple[str, bytes]]:
    parent = f"00-{number + 1:032x}-{number + 1:016x}-01".encode()
    return [("traceparent", parent), ("baggage", b"pipeline.name=orders,pipeline.origin=900")]


async def test_each_batch_is_a_trace_of_its_own_that_is_linked_to_the_original_ones(
    log: Log, new_store: Any, telemetry: Telemetry, capture: Capture
) -> None:
    for n in range(5):
        log.add(f"k{n}={n}", headers=_traced(n))

    with capture.tracer_provider.get_tracer("test").start_as_current_span("around it"):
        await replay(LogSource(log), new_store(), decode, telemetry, ReplayOptions(batch_size=3))

    spans = [span for span in capture.spans() if span.name == "process orders"]
    assert [None, None] == [span.parent for span in spans]
    assert 2 == len({span.context.trace_id for span in spans})
    assert [[1, 2, 3], [4, 5]] == [[link.context.trace_id for link in span.links] for span in spans]
    assert [
        {
            "messaging.system.name": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "orders",
            "messaging.batch.message_count": count,
            "pipeline.replay.read_model": "orders",
            "pipeline.replay.generation": 2,
            "pipeline.outcome": "ok",
        }
        for count in (3, 2)
    ] == [dict(span.attributes or {}) for span in spans]


async def test_a_span_has_no_more_links_than_the_sdk_keeps(
    log: Log, new_store: Any, telemetry: Telemetry, capture: Capture
) -> None:
    for n in range(300):
        log.add(f"k{n}={n}", headers=_traced(n))

    await replay(LogSource(log), new_store(), decode, telemetry)

    (span,) = [span for span in capture.spans() if span.name == "process orders"]
    assert (128, 300) == (len(span.links), (span.attributes or {})[semconv.BATCH_COUNT])
    assert 0 == span.dropped_links


async def test_replayed_records_are_counted_apart_and_in_no_figure_of_consumers(
    log: Log, new_store: Any, telemetry: Telemetry, capture: Capture
) -> None:
    for n in range(5):
        log.add(f"k{n}={n}", headers=_traced(n))
    log.add(None)
    remaining: list[object] = []

    await replay(
        LogSource(log), new_store(), decode, telemetry, ReplayOptions(batch_size=3),
        lambda _: remaining.append(capture.metric("pipeline.replay.remaining")),
    )  # fmt: skip

    outcomes = ("applied", "ignored", "undecodable", "skipped")
    assert [5, 1, 0, 0] == [
        capture.metric("pipeline.replay.records", {"projection": "orders", "outcome": each})
        for each in outcomes
    ]
    assert [None] * len(_OF_CONSUMERS) == [capture.metric(name) for name in _OF_CONSUMERS]
    assert 6 in remaining
    # What has ended has nothing left to do, and no value at all.
    assert None is capture.metric("pipeline.replay.remaining")


async def test_what_applies_events_can_tell_that_it_is_a_replay(
    log: Log, new_store: Any, telemetry: Telemetry
) -> None:
    log.add("a=1")
    store, seen = new_store(), []
    apply = store.apply

    async def noting(batch: Any) -> None:
        seen.append(current_replay())
        assert current_replay() is await asyncio.create_task(_marked())
        await apply(batch)

    async def _marked() -> ReplayedBatch | None:
        return current_replay()

    store.apply = noting
    assert None is current_replay()
    await replay(LogSource(log), store, decode, telemetry)

    assert None is current_replay()
    (batch,) = [each for each in seen if each is not None]
    assert ("orders", 2, 1) == (batch.read_model, batch.generation, len(batch.records))


async def test_a_failed_batch_is_an_error_on_its_span(
    log: Log, new_store: Any, telemetry: Telemetry, capture: Capture, engine: AsyncEngine
) -> None:
    log.add("a=1")
    store = new_store()

    async def failing(_batch: Any) -> None:
        raise ConnectionError

    store.apply = failing
    with pytest.raises(ConnectionError):
        await replay(LogSource(log), store, decode, telemetry)

    (span,) = capture.spans()
    assert trace.StatusCode.ERROR is span.status.status_code
    assert "ConnectionError" == (span.attributes or {})["error.type"]
