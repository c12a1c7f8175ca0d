"""A send ends as in the sender's context, however little of it is kept until then."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from aiokafka.structs import RecordMetadata, TopicPartition
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.tracing.messaging.flat.send_world import SendWorld, current
from tracing.core import semconv
from tracing.metrics.histograms import Aggregator, LocalHistogram
from tracing.testing import eventually

REQUEST: ContextVar[str] = ContextVar("request", default="none")


class _AtTheEnd(SpanProcessor):
    """Looks around when a span ends."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.seen.append((REQUEST.get(), baggage.get_baggage("tenant")))


async def _send(world: SendWorld, request: str) -> asyncio.Future[Any]:
    REQUEST.set(request)
    with current(baggage.set_baggage("tenant", request, Context())):
        return await world.producer.send("orders", b"v")


async def _send_from_tasks(world: SendWorld) -> None:
    async with world.producer:
        sent = await asyncio.gather(*(_send(world, request) for request in ("a", "b")))
        await asyncio.gather(*sent)
        await asyncio.sleep(0)


@pytest.mark.parametrize("flat", ["on", "off"])
async def test_a_processor_of_the_application_sees_the_senders_variables(
    flat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", flat)
    world, processor = SendWorld(), _AtTheEnd()
    world.capture.tracer_provider.add_span_processor(processor)
    await _send_from_tasks(world)

    assert [("a", "a"), ("b", "b")] == sorted(processor.seen)


async def test_a_processor_that_is_added_while_the_producer_runs_sees_them_as_well() -> None:
    world, processor = SendWorld(), _AtTheEnd()
    async with world.producer as producer:
        await (await producer.send("orders", b"v"))
        world.capture.tracer_provider.add_span_processor(processor)
        await (await _send(world, "a"))
        await asyncio.sleep(0)

    assert [("a", "a")] == processor.seen


class _Unanswered:
    """A broker that has not answered yet."""

    def __init__(self, world: SendWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(world.producer.wrapped, "send", self.send)

    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> asyncio.Future[Any]:
        return self.answer


def _world_of_batches() -> tuple[SendWorld, Callable[[], Sequence[ReadableSpan]]]:
    """Return a world whose spans are only queued, and whose durations the library aggregates."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))

    def exported() -> Sequence[ReadableSpan]:
        provider.force_flush()
        return exporter.get_finished_spans()

    return SendWorld(tracer_provider=provider, aggregator=Aggregator()), exported


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("flat", ["on", "off"])
async def test_the_log_event_of_a_failed_send_is_in_the_senders_context(
    flat: str, batches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", flat)
    world = _world_of_batches()[0] if batches else SendWorld()
    async with world.producer:
        broker = _Unanswered(world, monkeypatch)
        await _send(world, "a")
        broker.answer.set_exception(RuntimeError("refused"))
        with pytest.raises(RuntimeError):
            await broker.answer
        await eventually(world.capture.log_records)

    (logged,) = world.capture.log_records()
    assert "a" == baggage.get_baggage("tenant", logged.log_record.context)


async def test_a_send_under_way_keeps_no_variables_of_a_task_that_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, exported = _world_of_batches()
    variable: ContextVar[object] = ContextVar("variable")

    class Session:
        """Something large."""

    async def task() -> weakref.ref[Session]:
        session = Session()
        variable.set(session)
        await world.producer.send("orders", b"v")
        return weakref.ref(session)

    async with world.producer:
        broker = _Unanswered(world, monkeypatch)
        session = await asyncio.create_task(task())
        # The loop itself knows the task until its next turn.
        await eventually(lambda: session() is None)

        broker.answer.set_result(
            RecordMetadata("orders", 0, TopicPartition("orders", 0), 7, 1, 0, 0)
        )
        await eventually(exported)

    (span,) = exported()
    assert 7 == (span.attributes or {})[semconv.OFFSET]


async def test_what_sends_took_does_not_wait_for_a_collection_without_end() -> None:
    world, _ = _world_of_batches()
    async with world.producer as producer:
        for _ in range(5000):
            begun = producer._begin("orders", b"v", None, None, [])
            assert begun is not None
            begun.acknowledged(None)
        typed = producer._destinations["orders"].types[b"orders"]

    durations = typed.series.succeeded
    assert isinstance(durations, LocalHistogram)
    assert len(durations._waiting) < 2000
