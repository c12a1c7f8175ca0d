"""Spans of sagas with unusual engines: timers, loops, nameless steps, huge texts."""

from __future__ import annotations

from time import time_ns
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from tests.tracing.sagas.saga_doubles import S, telemetry_on
from tracing import SagaContext, SagaTracker, TracedProducer
from tracing.headers.flow import in_flow
from tracing.testing import Capture, InMemoryBroker, InMemoryProducer


class B3Like(TextMapPropagator):
    """Three headers with capitals; no baggage."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        context = Context() if context is None else context
        if "X-B3-TraceId" not in carrier:
            return context
        remote = SpanContext(
            int(carrier["X-B3-TraceId"], 16),
            int(carrier["X-B3-SpanId"], 16),
            is_remote=True,
            trace_flags=TraceFlags(int(carrier["X-B3-Sampled"])),
        )
        return trace.set_span_in_context(NonRecordingSpan(remote), context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        current = trace.get_current_span(context).get_span_context()
        if current.is_valid:
            carrier["X-B3-TraceId"] = f"{current.trace_id:032x}"
            carrier["X-B3-SpanId"] = f"{current.span_id:016x}"
            carrier["X-B3-Sampled"] = str(int(current.trace_flags.sampled))

    @property
    def fields(self) -> set[str]:
        return {"X-B3-TraceId", "X-B3-SpanId", "X-B3-Sampled"}


def _begun(tracker: SagaTracker, capture: Capture) -> SagaContext:
    with capture.tracer_provider.get_tracer("engine").start_as_current_span("root"):
        return tracker.begin("o-1", 10 * S)


def test_a_custom_propagator_keeps_a_saga_in_one_trace_across_a_restart() -> None:
    with Capture() as capture:
        before = SagaTracker("p", telemetry_on(capture, propagator=B3Like()))
        stored = str(_begun(before, capture))
        context = SagaContext.parse(stored)
        assert context is not None
        after = SagaTracker("p", telemetry_on(capture, propagator=B3Like()))
        after.step(context, "a", started_ns=10 * S, ended_ns=11 * S)
        after.ended(context, "completed", ended_ns=12 * S)

        assert "root INTERNAL\n  saga p INTERNAL\n    saga.step p/a INTERNAL" == capture.tree()
        assert None is context.trace_id
        assert "traceparent" not in stored


async def test_a_send_after_a_timer_is_inside_the_saga_and_keeps_the_origin_of_its_flow() -> None:
    broker = InMemoryBroker()
    with Capture() as capture:
        telemetry = telemetry_on(capture)
        tracker = SagaTracker("p", telemetry)
        origin = str(time_ns() // 1_000_000 - 1_000)
        token = attach(Context(in_flow({"pipeline.name": "shop", "pipeline.origin": origin})))
        context = _begun(tracker, capture)
        detach(token)
        before = get_current()
        async with TracedProducer(InMemoryProducer(broker), telemetry) as producer:
            with tracker.resumed(context):
                await producer.send_and_wait("payments", b"v")
        tracker.ended(context, "completed", ended_ns=12 * S)

        assert before == get_current()
        assert "root INTERNAL\n  saga p INTERNAL\n    send payments PRODUCER" == capture.tree()
        (record,) = broker.records("payments")
        sent = dict(record.headers)
        assert f"pipeline.name=shop,pipeline.origin={origin}".encode() == sent["baggage"]


def test_a_saga_that_ends_after_a_timer_is_not_linked_to_itself() -> None:
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture))
        context = _begun(tracker, capture)
        with tracker.resumed(context):
            tracker.step(context, "a", started_ns=10 * S, ended_ns=11 * S)
            tracker.ended(context, "failed", ended_ns=12 * S)

        assert "root INTERNAL\n  saga p INTERNAL ERROR\n    saga.step p/a INTERNAL" == capture.tree(
            links=True
        )


@pytest.mark.parametrize("compensation", [False, True])
def test_a_step_that_runs_again_has_another_span_id(*, compensation: bool) -> None:
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture))
        context = _begun(tracker, capture)
        tracker.step(context, "notify", started_ns=10 * S, ended_ns=11 * S, outcome="rejected")
        tracker.step(
            context, "notify", started_ns=12 * S, ended_ns=13 * S, compensation=compensation
        )
        one, other = (span.context.span_id for span in capture.spans()[1:])

        assert one != other


def test_a_step_without_a_name_is_not_its_own_parent() -> None:
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture))
        tracker.step(_begun(tracker, capture), "", started_ns=10 * S, ended_ns=11 * S)
        step = capture.spans()[-1]

        assert step.parent is not None
        assert step.parent.span_id != step.context.span_id


def test_long_reasons_are_truncated_and_reasons_of_other_types_are_accepted() -> None:
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture))
        context = _begun(tracker, capture)
        nothing: Any = None
        with capture.tracer_provider.get_tracer("engine").start_as_current_span("process"):
            tracker.compensating(context, "r" * 1_000_000)
            tracker.compensating(context, nothing)
            tracker.ended(context, "failed", ended_ns=11 * S, reason="\ud800" * 1_000_000)
        process = capture.spans()[-1]
        saga = next(span for span in capture.spans() if span.name == "saga p")

        assert ["r" * 256, "NoneType"] == [
            (event.attributes or {})["pipeline.saga.reason"] for event in process.events
        ]
        assert "\ud800" * 256 == (saga.attributes or {})["pipeline.saga.reason"]
        assert 0 == capture.metric("pipeline.telemetry.dropped", {"reason": "saga"})


@pytest.mark.parametrize(
    "headers",
    [
        (("traceparent", "garbage"), ("baggage", "=,=;"), ("tracestate", "\xff")),
        (("traceparent", "\u20ac"),),
        (("", ""),),
        (("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"),) * 300,
    ],
)
def test_a_context_with_unreadable_headers_gets_its_own_trace(
    headers: tuple[tuple[str, str], ...],
) -> None:
    with Capture() as capture:
        tracker = SagaTracker("p", telemetry_on(capture))
        context = SagaContext("o-1", 10 * S, headers)
        before = get_current()
        with tracker.resumed(context):
            pass
        tracker.step(context, "a", started_ns=10 * S, ended_ns=11 * S)
        tracker.ended(context, "completed", ended_ns=12 * S)

        assert before == get_current()
        assert 1 == capture.metric("pipeline.saga.ended")
        if "\u20ac" in headers[0][1]:
            # A header cannot hold this text, so there is no context to continue; it is counted.
            assert 3 == capture.metric("pipeline.telemetry.dropped", {"reason": "saga"})
        else:
            assert ["saga p INTERNAL", "saga.step p/a INTERNAL"] == sorted(
                capture.tree().splitlines()
            )


def test_compensations_are_zero_before_the_first_one() -> None:
    with Capture() as capture:
        SagaTracker("p", telemetry_on(capture))

        assert 0 == capture.metric("pipeline.saga.compensations", {"saga": "p"})
