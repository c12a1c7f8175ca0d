"""Sending: the span covers the acknowledgement, and failing telemetry never fails a send."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import tracing
from tracing import Telemetry, TracedProducer
from tracing.testing import Capture, InMemoryBroker, InMemoryProducer, eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import _InMemory

SEND = {"messaging.operation.name": "send", "messaging.destination.name": "orders"}


async def test_a_span_is_open_until_the_acknowledgement(
    memory: _InMemory, capture: Capture
) -> None:
    producer = await memory.producer()
    with memory.broker.hold_acks():
        future = await producer.send("orders", b"v")
        await asyncio.sleep(0)
        assert () == capture.spans()
        assert 0 == capture.metric("messaging.client.sent.messages", SEND)

    await future

    assert await eventually(capture.spans)
    assert 1 == capture.metric("messaging.client.sent.messages", SEND)


@pytest.mark.parametrize("wait", [True, False])
async def test_a_refused_record_is_an_error_on_the_span_and_not_counted_as_sent(
    memory: _InMemory, capture: Capture, wait: bool
) -> None:
    producer = await memory.producer()
    memory.broker.fail_next_send(KafkaTimeoutError())

    with pytest.raises(KafkaTimeoutError):
        if wait:
            await producer.send_and_wait("orders", b"v")
        else:
            await (await producer.send("orders", b"v"))

    await eventually(capture.spans)
    assert (
        "send orders PRODUCER ERROR error.type=aiokafka.errors.KafkaTimeoutError"
        == capture.tree(attributes=["error.type"])
    )
    assert not capture.metric("messaging.client.sent.messages", SEND)
    failed = capture.metric(
        "messaging.client.operation.duration",
        {**SEND, "error.type": "aiokafka.errors.KafkaTimeoutError"},
    )
    assert failed is not None
    assert 1 == failed.count  # type: ignore[union-attr]  # of a histogram


async def test_a_failed_send_is_a_log_event_in_its_trace(
    memory: _InMemory, capture: Capture
) -> None:
    producer = await memory.producer()
    memory.broker.fail_next_send(KafkaTimeoutError("broker is gone"))

    with pytest.raises(KafkaTimeoutError):
        await producer.send_and_wait("orders", b"v")

    record = capture.log_records()[0].log_record
    context = capture.spans()[0].get_span_context()
    assert context is not None
    assert "messaging.send.exception" == record.event_name
    assert "WARN" == record.severity_text
    assert context.span_id == record.span_id
    attributes = record.attributes or {}
    assert "aiokafka.errors.KafkaTimeoutError" == attributes["exception.type"]


async def test_wrong_use_raises_what_the_client_raises(memory: _InMemory) -> None:
    producer = await memory.producer()

    with pytest.raises(AssertionError):
        await producer.send("orders", None, None)
    with pytest.raises(TypeError):
        await producer.send("orders", b"v", headers=[("a", "not bytes")])  # type: ignore[list-item]  # wrong on purpose
    with pytest.raises(TypeError):
        await producer.send("orders", b"v", headers=5)  # type: ignore[arg-type]  # wrong on purpose


async def test_headers_may_come_from_any_iterable_and_are_not_changed(
    memory: _InMemory,
) -> None:
    producer = await memory.producer()
    mine = [("a", b"1")]

    await producer.send_and_wait("orders", b"v", headers=iter(mine))
    await producer.send_and_wait("orders", b"v", headers=tuple(mine))

    assert [("a", b"1")] == mine
    for record in memory.broker.records("orders"):
        assert ("a", b"1") in list(record.headers)


@pytest.mark.parametrize(("flat", "part"), [("off", "inject"), ("on", "begun")])
async def test_a_record_goes_out_as_given_when_telemetry_breaks(
    memory: _InMemory, capture: Capture, monkeypatch: pytest.MonkeyPatch, flat: str, part: str
) -> None:
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", flat)
    producer = await memory.producer()

    def broken(*_args: object, **_kwargs: object) -> Any:
        raise RuntimeError("broken telemetry")

    monkeypatch.setattr(memory.telemetry.propagation, part, broken)

    await producer.send_and_wait("orders", b"v", headers=[("mine", b"1")])

    assert [("mine", b"1")] == list(memory.broker.records("orders")[0].headers)
    assert 1 == capture.metric("pipeline.telemetry.dropped", {"reason": "send"})


async def test_a_breaking_span_processor_does_not_break_the_send(memory: _InMemory) -> None:
    class Breaks:
        def start(self, *_: object, **__: object) -> Any:
            raise RuntimeError("broken")

        def dropped_root(self) -> None:
            return None

    producer = await memory.producer()
    memory.telemetry.spans = Breaks()  # type: ignore[assignment]  # broken on purpose

    assert await producer.send_and_wait("orders", b"v")


async def test_cancelling_the_wait_ends_the_span_without_an_error(
    memory: _InMemory, capture: Capture
) -> None:
    producer = await memory.producer()
    with memory.broker.hold_acks():
        future = await producer.send("orders", b"v")
        future.cancel()
        await eventually(capture.spans)

    assert "send orders PRODUCER" == capture.tree()
    assert not capture.metric("messaging.client.sent.messages", SEND)


async def test_a_send_continues_the_context_that_a_stored_message_carries(
    memory: _InMemory, capture: Capture
) -> None:
    origin_ms = int(time.time() * 1000) - 42_000
    stored = [
        ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("baggage", b"pipeline.name=orders,pipeline.origin=%d" % origin_ms),
    ]
    producer = await memory.producer()

    await producer.send_and_wait("orders", b"v", headers=stored)

    span = capture.spans()[0]
    assert span.parent is not None
    assert 0x00F067AA0BA902B7 == span.parent.span_id
    assert origin_ms == (span.attributes or {})["pipeline.origin"]
    written = dict(memory.broker.records("orders")[0].headers)
    assert stored[1][1] == written["baggage"]
    assert stored[0][1] != written["traceparent"]


async def test_a_context_in_the_headers_is_linked_when_another_is_current(
    memory: _InMemory, capture: Capture
) -> None:
    foreign = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    producer = await memory.producer()

    with capture.tracer_provider.get_tracer("t").start_as_current_span("around"):
        await producer.send_and_wait("orders", b"v", headers=foreign)

    assert "around INTERNAL\n  send orders PRODUCER ~> ?" == capture.tree(links=True)


async def test_suppressed_instrumentation_does_nothing(memory: _InMemory, capture: Capture) -> None:
    producer = await memory.producer()
    token = context_api.attach(context_api.set_value("suppress_instrumentation", True))
    try:
        await producer.send_and_wait("orders", b"v")
    finally:
        context_api.detach(token)

    assert () == capture.spans()
    assert [] == list(memory.broker.records("orders")[0].headers)


async def test_suppression_depends_on_the_value_of_its_key(
    memory: _InMemory, capture: Capture
) -> None:
    producer = await memory.producer()
    token = context_api.attach(context_api.set_value("suppress_instrumentation", False))
    await producer.send_and_wait("orders", b"v")
    context_api.detach(token)

    assert "send orders PRODUCER" == capture.tree()


async def test_a_producers_own_send_and_wait_is_called(memory: _InMemory) -> None:
    class Own(InMemoryProducer):
        called = False

        async def send_and_wait(self, *args: Any, **kwargs: Any) -> Any:
            self.called = True
            return await super().send_and_wait(*args, **kwargs)

    own = Own(memory.broker)
    async with TracedProducer(own, memory.telemetry) as producer:
        await producer.send_and_wait("orders", b"v")

    assert own.called


async def test_wrapping_twice_counts_once(
    memory: _InMemory, capture: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    inner = await memory.producer()
    outer = TracedProducer(inner, memory.telemetry)

    await outer.send_and_wait("orders", b"v")

    assert "send orders PRODUCER" == capture.tree()
    assert inner.wrapped is outer.wrapped


async def test_wrapping_something_other_than_a_producer_is_refused(telemetry: Telemetry) -> None:
    with pytest.raises(TypeError, match="wraps an aiokafka producer"):
        TracedProducer(object(), telemetry)  # type: ignore[arg-type]  # wrong on purpose


async def test_transactions_pass_through(memory: _InMemory, capture: Capture) -> None:
    producer = await memory.producer(transactional_id="t")

    async with producer.transaction():
        await producer.send_and_wait("orders", b"kept")
    with pytest.raises(ValueError, match="undo"):
        async with producer.transaction():
            await producer.send("orders", b"undone")
            raise ValueError("undo")

    assert [b"kept"] == [record.value for record in memory.broker.records("orders")]
    await eventually(lambda: len(capture.spans()) == 2)


async def test_cloudevents_headers_can_be_switched_off(capture: Capture) -> None:
    broker = InMemoryBroker()
    telemetry = Telemetry("orders", tracer_provider=capture.tracer_provider, cloudevents=False)
    async with TracedProducer(InMemoryProducer(broker), telemetry) as producer:
        await producer.send_and_wait("orders", b"v")

    names = {name for name, _ in broker.records("orders")[0].headers}
    assert {"traceparent", "baggage"} == names


async def test_unsampled_messages_carry_context_and_are_counted() -> None:
    broker = InMemoryBroker()
    with Capture(sampler=ALWAYS_OFF) as capture:
        telemetry = Telemetry(
            "orders",
            tracer_provider=capture.tracer_provider,
            meter_provider=capture.meter_provider,
        )
        async with TracedProducer(InMemoryProducer(broker), telemetry) as producer:
            await producer.send_and_wait("orders", b"v")

        headers = dict(broker.records("orders")[0].headers)
        assert headers["traceparent"].endswith((b"-00", b"-02"))
        assert () == capture.spans()
        assert 1 == capture.metric("messaging.client.sent.messages", SEND)


async def test_without_an_sdk_the_incoming_context_is_passed_on(memory: _InMemory) -> None:
    telemetry = Telemetry("orders", tracer_provider=trace.NoOpTracerProvider())
    producer = TracedProducer(InMemoryProducer(memory.broker), telemetry)
    await producer.start()
    traceparent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    await producer.send_and_wait("orders", b"v", headers=[("traceparent", traceparent)])

    assert traceparent == dict(memory.broker.records("orders")[0].headers)["traceparent"]
    await producer.stop()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pipeline": ""}, "pipeline must be"),
        ({"pipeline": "a\nb"}, "pipeline must be"),
        ({"pipeline": "x" * 200}, "pipeline must be"),
        ({"pipeline": "p", "link_after_s": 0}, "link_after_s"),
        ({"pipeline": "p", "relation": "child"}, "relation must be"),
        ({"pipeline": "p", "relation": {"t": "child"}}, "relation must be"),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tracing.Telemetry(**options)
