"""However a flat handling ends, it ends as the general code would end it, and leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased

import tracing
from tests.tracing.messaging.flat.both_ways import (
    PARENT,
    UNSAMPLED,
    Records,
    Way,
    both_ways,
    headers,
    record,
)
from tracing import Rejected, Telemetry, TracedConsumer
from tracing.core.otel_context import PROCESSING_KEY, SUPPRESSED
from tracing.messaging.flat.engine import engine_of
from tracing.messaging.flat.handling import FlatHandling
from tracing.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _two() -> list[Any]:
    return [record(headers(), 0), record(headers(), 1)]


def _unsampled() -> list[Any]:
    return [record(headers(parent=UNSAMPLED), 0), record(headers(parent=UNSAMPLED), 1)]


def _handled(way: Way) -> Any:
    return way.consumer.wrapped._records[0]  # type: ignore[attr-defined]  # a double


async def _rejects(way: Way) -> None:
    async with way.consumer.process(_handled(way)) as processing:
        processing.reject("sold_out")


async def _rejects_by_the_current(way: Way) -> None:
    async for _ in way.consumer:
        processing = tracing.current_processing()
        assert processing is not None
        assert processing is tracing.current_processing()
        processing.reject("sold_out")


async def _raises_rejected(way: Way) -> None:
    with pytest.raises(Rejected):
        async with way.consumer.process(_handled(way)):
            raise Rejected("sold_out")


async def _raises(way: Way) -> None:
    with pytest.raises(KeyError):
        async with way.consumer.process(_handled(way)):
            raise KeyError("x")
    way.noted.append([each.log_record.event_name for each in way.capture.log_records()])


async def _is_cancelled(way: Way) -> None:
    async def handle() -> None:
        async with way.consumer.process(_handled(way)):
            await asyncio.Event().wait()

    task = asyncio.create_task(handle())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _breaks(way: Way) -> None:
    async for _ in way.consumer:
        break
    await asyncio.sleep(0)


async def _breaks_and_stops_with_an_error(way: Way) -> None:
    with pytest.raises(ValueError, match="boom"):
        try:
            async for _ in way.consumer:
                raise ValueError("boom")
        finally:
            await way.consumer.stop()


async def _ends_in_another_task(way: Way) -> None:
    records = aiter(way.consumer)
    await anext(records)

    async def elsewhere() -> None:
        with pytest.raises(StopAsyncIteration):
            while True:
                await anext(records)

    await asyncio.create_task(elsewhere())
    way.noted.append(way.context())


async def _is_a_duplicate(way: Way) -> None:
    async with way.consumer.process(_handled(way)) as processing:
        processing.duplicate()
        way.noted.append(processing.counts_in_flow)


async def _tries_again(way: Way) -> None:
    processing = way.consumer.process(_handled(way))
    processing.start()
    processing.stop_clock()
    processing.attempt_failed(KeyError("x"))
    attempt = processing.retry(2, 0.5, KeyError("x"))
    way.noted.append(way.context())
    attempt.end(None)
    way.noted.append(way.context())
    processing.end()


async def _becomes_a_dead_letter(way: Way) -> None:
    processing = way.consumer.process(_handled(way))
    processing.start()
    processing.stop_clock()
    processing.dead_lettered()
    processing.end(KeyError("x"))


async def _pauses(way: Way) -> None:
    processing = way.consumer.process(_handled(way))
    processing.start()
    assert 0 <= processing.pause()
    way.noted.append(get_current())
    processing.end()


async def _never_starts(way: Way) -> None:
    processing = way.consumer.process(_handled(way))
    way.noted += [processing.counts_in_flow, processing.event, processing.span]
    processing.end()


async def _sets_attributes(way: Way) -> None:
    async for _ in way.consumer:
        span = trace.get_current_span()
        span.set_attribute("a", 1)
        span.set_attributes({"b": "x", "pipeline.outcome": "mine", "messaging.message.id": "own"})
        span.add_event("event", {"k": "v"})


async def _ends_the_span_itself(way: Way) -> None:
    async for _ in way.consumer:
        trace.get_current_span().end()


async def _reads_the_span(way: Way) -> None:
    async for _ in way.consumer:
        span: Any = trace.get_current_span()
        way.noted.append(dict(getattr(span, "attributes", {})).get("messaging.message.id"))


@pytest.mark.parametrize("records", [_two, _unsampled])
@pytest.mark.parametrize(
    "handle",
    [
        _rejects, _rejects_by_the_current, _raises_rejected, _raises, _is_cancelled, _breaks,
        _breaks_and_stops_with_an_error, _ends_in_another_task, _is_a_duplicate, _tries_again,
        _becomes_a_dead_letter, _pauses, _never_starts, _sets_attributes, _ends_the_span_itself,
        _reads_the_span,
    ],
)  # fmt: skip
async def test_a_handling_that_ends_in_another_way_than_usual(
    monkeypatch: pytest.MonkeyPatch,
    records: Callable[[], list[Any]],
    handle: Callable[[Way], Any],
) -> None:
    flat = await both_ways(monkeypatch, records, handle)

    assert flat.engine is not None
    # The other task has the first record's span around it.
    assert int(handle is _ends_in_another_task) == sum(flat.engine.fallbacks.values())
    assert handle is _never_starts or flat.engine.taken["process"]


async def _with_values(way: Way) -> None:
    around = context_api.set_value("mine", 1, baggage.set_baggage("other", "x"))
    token = context_api.attach(around)
    async for _ in way.consumer:
        way.noted.append(way.context())
    assert get_current() is around
    context_api.detach(token)


async def test_values_of_the_context_around_stay_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = await both_ways(monkeypatch, _two, _with_values)

    assert flat.engine is not None
    assert 2 == flat.engine.taken["process"]


async def _suppressed(way: Way) -> None:
    token = context_api.attach(context_api.set_value(SUPPRESSED, value=True))
    async for _ in way.consumer:
        way.noted.append(way.context())
    context_api.detach(token)


async def _in_a_span(way: Way) -> None:
    with way.capture.tracer_provider.get_tracer("t").start_as_current_span("around"):
        async for _ in way.consumer:
            pass


@pytest.mark.parametrize(
    ("reason", "handle"), [("suppressed", _suppressed), ("parent", _in_a_span)]
)
async def test_a_context_that_changes_what_is_to_do(
    monkeypatch: pytest.MonkeyPatch, reason: str, handle: Callable[[Way], Any]
) -> None:
    flat = await both_ways(monkeypatch, _two, handle)

    assert flat.engine is not None
    assert {reason: 2} == {each: count for each, count in flat.engine.fallbacks.items() if count}


async def _interleaved(way: Way) -> None:
    other = TracedConsumer(Records(_two()), way.telemetry, group="h")  # type: ignore[arg-type]  # a double
    first, second = aiter(way.consumer), aiter(other)
    for records in (first, second, first, second, first):
        await anext(records, None)
        way.noted.append(way.context())
    await anext(second, None)
    way.noted.append(get_current())


async def test_two_loops_of_one_task_leave_no_context_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await both_ways(monkeypatch, _two, _interleaved)


class _AtStart(SpanProcessor):
    """Sets attributes at the start, one of which the message sets, too."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        span.set_attribute("first", len(span.attributes or ()) if self.reads else 0)
        span.set_attribute("messaging.message.id", "early")
        span.set_attribute("around", str(baggage.get_all(parent_context)))

    def __init__(self, *, reads: bool) -> None:
        self.reads = reads


@pytest.mark.parametrize("reads", [False, True])
async def test_processors_see_the_span_at_its_start_without_the_messages_own_attributes(
    monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    async def handle(way: Way) -> None:
        way.capture.tracer_provider.add_span_processor(_AtStart(reads=reads))
        async for _ in way.consumer:
            pass

    flat = await both_ways(monkeypatch, _two, handle)

    assert "4711" == (flat.capture.spans()[0].attributes or {})["messaging.message.id"]


class _Broken(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("broken")


async def test_a_processor_that_fails_costs_the_span_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(way: Way) -> None:
        way.capture.tracer_provider.add_span_processor(_Broken())
        async for handled in way.consumer:
            way.noted += [handled.offset, way.context()]

    flat = await both_ways(monkeypatch, _two, handle)

    assert [0, [], 1, []] == flat.noted


@pytest.mark.parametrize(
    "sampler",
    [ALWAYS_OFF, ParentBased(ALWAYS_OFF), ALWAYS_ON, ParentBased(TraceIdRatioBased(1.0))],
)
@pytest.mark.parametrize("parent", [PARENT, UNSAMPLED, None])
async def test_samplers_decide_as_for_the_general_code(
    monkeypatch: pytest.MonkeyPatch, sampler: Any, parent: bytes | None
) -> None:
    async def handle(way: Way) -> None:
        async for _ in way.consumer:
            way.noted.append(way.context())

    await both_ways(monkeypatch, lambda: [record(headers(parent=parent))], handle, sampler=sampler)


@pytest.mark.parametrize(
    "options",
    [{"relation": "link"}, {"boundaries": {"orders": tracing.Boundary()}}, {"order_check": True}],
)
async def test_topics_with_options_are_left_to_the_general_code(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    async def handle(way: Way) -> None:
        async for _ in way.consumer:
            way.noted.append(way.context())

    flat = await both_ways(monkeypatch, _two, handle, **options)

    assert flat.engine is not None
    assert 2 == flat.engine.fallbacks["topic"]


class Value:
    """A record's value."""


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _consumer(capture: Capture, *records: Any) -> TracedConsumer:
    telemetry = Telemetry("orders", tracer_provider=capture.tracer_provider)
    assert engine_of(telemetry) is not None
    return TracedConsumer(Records(records), telemetry, group="g")  # type: ignore[arg-type]  # a double


@pytest.mark.parametrize("parent", [PARENT, UNSAMPLED])
@pytest.mark.usefixtures("without_collector")
async def test_nothing_keeps_a_handled_record_or_refers_to_itself(
    capture: Capture, parent: bytes
) -> None:
    value = Value()
    gone: list[weakref.ref[Any]] = [weakref.ref(value)]
    consumer = _consumer(capture, record(headers(parent=parent), 0, value=value), record(headers()))
    records = aiter(consumer)

    handled = await anext(records)
    flat = get_current()[PROCESSING_KEY]
    assert isinstance(flat, FlatHandling)
    gone += [weakref.ref(get_current()), weakref.ref(flat)]
    processing = tracing.current_processing()
    assert processing is not None
    assert processing.record is handled
    del processing, flat, value, handled
    await anext(records)

    # The exporter has the span, and refers to nothing else.
    capture.clear()
    assert [None] * 3 == [each() for each in gone]


@pytest.mark.usefixtures("without_collector")
async def test_an_exported_span_does_not_keep_the_records_value(capture: Capture) -> None:
    value = Value()
    gone = weakref.ref(value)
    consumer = _consumer(capture)

    async with consumer.process(record(headers(), value=value)):
        del value
    with pytest.raises(KeyError):
        async with consumer.process(record(headers(), value=(failed := Value()))):
            gone_too = weakref.ref(failed)
            del failed
            raise KeyError("x")

    assert 2 == len(capture.spans())
    assert gone() is None
    assert gone_too() is None


async def test_a_task_that_outlives_the_handling_still_knows_its_record(capture: Capture) -> None:
    consumer = _consumer(capture)
    line = logging.LogRecord("n", logging.INFO, "", 0, "m", None, None)
    ended = asyncio.Event()

    async def later() -> Any:
        await ended.wait()
        tracing.EventLogFilter().filter(line)
        return tracing.current_processing()

    async with consumer.process(record(headers())):
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    ended.set()
    processing = await task

    assert "4711" == line.__dict__["event_id"]
    assert "4711" == processing.event.id
    assert capture.spans()[0].get_span_context() == processing.span.get_span_context()


async def test_a_counter_that_cannot_be_made_costs_the_count_alone(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = _consumer(capture, record(headers()))

    def broken(*_args: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(consumer._polling, "count", broken)

    assert [0] == [handled.offset async for handled in consumer]
    assert 1 == len(capture.spans())


async def test_what_is_no_record_is_refused_as_before(capture: Capture) -> None:
    with pytest.raises(AttributeError):
        _consumer(capture).process("record")  # type: ignore[arg-type]  # wrong on purpose
