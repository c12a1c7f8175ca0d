"""Handling: the span is current in the handler, ends with its outcome and never leaks."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import get_current
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

import tracing
from tracing import EventLogFilter, Rejected, Telemetry, TracedConsumer, TracedProducer
from tracing.testing import (
    Capture,
    InMemoryBroker,
    InMemoryConsumer,
    InMemoryProducer,
    assert_span_tree,
    eventually,
)

if TYPE_CHECKING:
    from tests.tracing.conftest import _InMemory

PROCESS = {"messaging.operation.name": "process"}


async def filled(memory: _InMemory, records: int = 3) -> TracedConsumer:
    producer = await memory.producer()
    for number in range(records):
        await producer.send_and_wait(
            "orders", b"%d" % number, key=b"k", headers=tracing.cloudevent(type="X", id=str(number))
        )
    return await memory.consumer("orders", group="g")


def processes(capture: Capture) -> list[str]:
    return [
        line.strip()
        for line in capture.tree(attributes=["pipeline.outcome", "error.type"]).splitlines()
        if line.strip().startswith("process")
    ]


async def test_async_for_has_each_records_span_current_in_its_body(
    memory: _InMemory, capture: Capture
) -> None:
    consumer = await filled(memory)
    tracer = capture.tracer_provider.get_tracer("t")
    outside = get_current()

    async for record in consumer:
        with tracer.start_as_current_span(f"inside {record.offset}"):
            pass
        if record.offset == 2:
            break

    assert outside == get_current()
    await consumer.stop()
    assert_span_tree(
        capture.spans(),
        """
        send orders PRODUCER
          process orders CONSUMER
            inside 0 INTERNAL
        send orders PRODUCER
          process orders CONSUMER
            inside 1 INTERNAL
        send orders PRODUCER
          process orders CONSUMER
            inside 2 INTERNAL
        """,
    )


async def test_leaving_the_loop_ends_the_span_in_the_same_turn(
    memory: _InMemory, capture: Capture
) -> None:
    consumer = await filled(memory, 1)

    async for _ in consumer:
        break

    assert not trace.get_current_span().get_span_context().is_valid
    await eventually(lambda: processes(capture))
    assert ["process orders CONSUMER pipeline.outcome=ok"] == processes(capture)


async def test_an_exception_that_leaves_the_consumers_block_decides_the_outcome(
    memory: _InMemory, capture: Capture
) -> None:
    producer = await memory.producer()
    await producer.send_and_wait("orders", b"v")
    bare = InMemoryConsumer("orders", broker=memory.broker, auto_offset_reset="earliest")

    with pytest.raises(ValueError, match="boom"):
        async with TracedConsumer(bare, memory.telemetry) as consumer:
            async for _ in consumer:
                raise ValueError("boom")

    assert [
        "process orders CONSUMER ERROR pipeline.outcome=error error.type=ValueError"
    ] == processes(capture)


async def test_stopping_in_finally_has_the_outcome_of_the_exception(
    memory: _InMemory, capture: Capture
) -> None:
    consumer = await filled(memory, 1)

    with pytest.raises(ValueError, match="boom"):
        try:
            async for _ in consumer:
                raise ValueError("boom")
        finally:
            await consumer.stop()

    assert [
        "process orders CONSUMER ERROR pipeline.outcome=error error.type=ValueError"
    ] == processes(capture)


async def test_the_outcome_of_a_process_block_is_on_the_span(
    memory: _InMemory, capture: Capture
) -> None:
    consumer = await filled(memory, 4)

    async with consumer.process(await consumer.getone()):
        pass
    async with consumer.process(await consumer.getone()) as processing:
        processing.reject("card_declined")
    with pytest.raises(Rejected):
        async with consumer.process(await consumer.getone()):
            raise Rejected("sold_out")
    with pytest.raises(KeyError):
        async with consumer.process(await consumer.getone()):
            raise KeyError("x")

    assert [
        "process orders CONSUMER pipeline.outcome=ok",
        "process orders CONSUMER pipeline.outcome=rejected",
        "process orders CONSUMER pipeline.outcome=rejected",
        "process orders CONSUMER ERROR pipeline.outcome=error error.type=KeyError",
    ] == processes(capture)
    reasons = [(span.attributes or {}).get("pipeline.rejection.reason") for span in capture.spans()]
    assert ["card_declined", "sold_out"] == [reason for reason in reasons if reason]
    ended = capture.metric("messaging.process.duration", {**PROCESS, "error.type": "KeyError"})
    assert ended is not None
    assert 1 == ended.count  # type: ignore[union-attr]  # of a histogram


async def test_a_cancellation_is_neither_error_nor_outcome(
    memory: _InMemory, capture: Capture
) -> None:
    consumer = await filled(memory, 1)
    record = await consumer.getone()

    async def handle() -> None:
        async with consumer.process(record):
            await asyncio.Event().wait()

    task = asyncio.create_task(handle())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ["process orders CONSUMER"] == processes(capture)


async def test_a_handlers_exception_is_a_log_event_without_values_in_its_trace(
    memory: _InMemory, capture: Capture
) -> None:
    memory.telemetry = Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        logger_provider=capture.logger_provider,
        redact=lambda message: message.replace("4711", "…"),
    )
    consumer = await filled(memory, 1)

    with pytest.raises(ValueError, match="4711"):
        async with consumer.process(await consumer.getone()):
            raise ValueError("card 4711" + "x" * 5000)

    record = capture.log_records()[0].log_record
    attributes = record.attributes or {}
    assert "messaging.process.exception" == record.event_name
    assert "ValueError" == attributes["exception.type"]
    assert str(attributes["exception.message"]).startswith("card …x")
    assert len(str(attributes["exception.message"])) <= 1024
    assert "test_process.py" in str(attributes["exception.stacktrace"])
    assert "4711" not in str(attributes["exception.stacktrace"]).replace("card 4711", "")
    assert "0" == attributes["messaging.message.id"]


async def test_concurrent_handlers_have_separate_contexts(
    memory: _InMemory, capture: Capture
) -> None:
    consumer = await filled(memory, 10)
    records = [await consumer.getone() for _ in range(10)]
    tracer = capture.tracer_provider.get_tracer("t")

    async def handle(record: object) -> None:
        async with consumer.process(record) as processing:  # type: ignore[arg-type]  # a record
            await asyncio.sleep(0)
            assert tracing.current_processing() is processing
            with tracer.start_as_current_span("inside"):
                await asyncio.sleep(0)

    await asyncio.gather(*(handle(record) for record in records))

    tree = capture.tree().splitlines()
    assert ["send orders PRODUCER", "  process orders CONSUMER", "    inside INTERNAL"] * 10 == tree


async def test_ending_in_another_task_leaves_that_tasks_context_alone(
    memory: _InMemory, capture: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    consumer = await filled(memory, 2)
    iterator = aiter(consumer)
    await anext(iterator)

    await asyncio.create_task(_next(iterator))

    assert "Failed to detach" not in caplog.text
    assert ["process orders CONSUMER pipeline.outcome=ok"] == processes(capture)


async def _next(iterator: object) -> None:
    await anext(iterator)  # type: ignore[call-overload]  # an async iterator


async def test_the_handler_sees_the_messages_baggage_and_the_earlier_one(
    memory: _InMemory,
) -> None:
    producer = await memory.producer()
    sent = baggage.set_baggage("user.tier", "gold")
    token = context_api.attach(sent)
    await producer.send_and_wait("orders", b"v")
    context_api.detach(token)
    consumer = await memory.consumer("orders", group="g")
    around = context_api.set_value("mine", 1, baggage.set_baggage("other", "x"))
    token = context_api.attach(around)

    async with consumer.process(await consumer.getone()):
        assert "gold" == baggage.get_baggage("user.tier")
        assert baggage.get_baggage("other") is None
        assert 1 == context_api.get_value("mine")

    assert around == get_current()
    context_api.detach(token)


async def test_a_surrounding_span_is_linked(memory: _InMemory, capture: Capture) -> None:
    consumer = await filled(memory, 1)

    with capture.tracer_provider.get_tracer("t").start_as_current_span("around"):
        async with consumer.process(await consumer.getone()):
            pass

    assert "process orders CONSUMER ~> around" in capture.tree(links=True)


async def test_a_clock_that_is_ahead_gives_a_wait_of_zero_and_is_counted(
    memory: _InMemory, capture: Capture
) -> None:
    producer = await memory.producer()
    await producer.send_and_wait("orders", b"v", timestamp_ms=4_000_000_000_000)
    consumer = await memory.consumer("orders", group="g")

    async with consumer.process(await consumer.getone()):
        pass

    waits = [(span.attributes or {}).get("pipeline.wait.duration") for span in capture.spans()]
    assert [None, 0.0] == waits
    assert 1 == capture.metric("pipeline.clock_skew")


async def test_a_tombstone_is_handled_and_marked(memory: _InMemory, capture: Capture) -> None:
    producer = await memory.producer()
    await producer.send_and_wait("orders", None, key=b"k")
    consumer = await memory.consumer("orders", group="g")

    async with consumer.process(await consumer.getone()):
        pass

    marked = "kafka.message.tombstone=True"
    assert [
        f"send orders PRODUCER {marked}",
        f"  process orders CONSUMER {marked}",
    ] == capture.tree(attributes=["kafka.message.tombstone"]).splitlines()


async def test_records_flow_when_telemetry_breaks(
    memory: _InMemory, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await filled(memory, 3)

    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("broken telemetry")

    monkeypatch.setattr(memory.telemetry.propagation, "extract", broken)
    seen = []

    async for record in consumer:
        seen.append(record.value)
        if len(seen) == 3:
            break

    assert [b"0", b"1", b"2"] == seen
    assert 3 == capture.metric("pipeline.telemetry.dropped", {"reason": "process"})


async def test_an_unsampled_chain_stays_unsampled_and_connected() -> None:
    broker = InMemoryBroker()
    with Capture(sampler=ParentBased(ALWAYS_OFF)) as capture:
        telemetry = Telemetry("orders", tracer_provider=capture.tracer_provider)
        producer = TracedProducer(InMemoryProducer(broker), telemetry)
        bare = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
        async with producer, TracedConsumer(bare, telemetry) as consumer:
            await producer.send_and_wait("orders", b"v")
            async for _ in consumer:
                await producer.send_and_wait("payments", b"v")
                break

        first = dict(broker.records("orders")[0].headers)["traceparent"]
        second = dict(broker.records("payments")[0].headers)["traceparent"]
        assert first[3:35] == second[3:35]
        assert () == capture.spans()


async def test_log_lines_of_a_handler_carry_trace_span_and_event(
    memory: _InMemory, capture: Capture
) -> None:
    consumer = await filled(memory, 1)
    inside = logging.LogRecord("n", logging.INFO, "", 0, "m", None, None)
    outside = logging.LogRecord("n", logging.INFO, "", 0, "m", None, None)

    async with consumer.process(await consumer.getone()) as processing:
        EventLogFilter().filter(inside)
        context = processing.span.get_span_context()
    EventLogFilter().filter(outside)

    assert trace.format_trace_id(context.trace_id) == inside.__dict__["trace_id"]
    assert trace.format_span_id(context.span_id) == inside.__dict__["span_id"]
    assert "0" == inside.__dict__["event_id"]
    assert ["", "", ""] == [outside.__dict__[name] for name in ("trace_id", "span_id", "event_id")]


async def test_wrapping_twice_counts_once(memory: _InMemory, capture: Capture) -> None:
    inner = await filled(memory, 1)
    outer = TracedConsumer(inner, memory.telemetry, group="g")

    async for _ in outer:
        break
    await outer.stop()

    assert 1 == len(processes(capture))
    assert 1 == capture.metric("messaging.client.consumed.messages")


async def test_wrapping_something_other_than_a_consumer_is_refused(telemetry: Telemetry) -> None:
    with pytest.raises(TypeError, match="wraps an aiokafka consumer"):
        TracedConsumer(object(), telemetry)  # type: ignore[arg-type]  # wrong on purpose


async def test_iteration_ends_when_the_consumer_is_stopped(memory: _InMemory) -> None:
    consumer = await filled(memory, 1)
    seen = []

    async for record in consumer:
        seen.append(record)
        await consumer.stop()

    assert 1 == len(seen)
