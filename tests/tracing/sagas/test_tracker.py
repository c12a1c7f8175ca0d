"""The spans of a tracker for the sagas of any engine, and its counts without a store."""

from __future__ import annotations

from time import time_ns
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import TracerProvider

from tracing import SagaContext, SagaTracker, Telemetry
from tracing.headers.flow import in_flow
from tracing.spans.choose import ApiSpans
from tracing.testing import Capture

S = 1_000_000_000
SHOWN = ("pipeline.saga.outcome", "pipeline.saga.overdue", "pipeline.saga.reason",
         "pipeline.outcome", "pipeline.saga.compensation", "error.type")  # fmt: skip


def _telemetry(capture: Capture, **options: Any) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        logger_provider=capture.logger_provider,
        **options,
    )


def _report(tracker: SagaTracker, context: SagaContext) -> None:
    tracker.step(context, "reserve", started_ns=10 * S, ended_ns=11 * S)
    tracker.step(context, "charge", started_ns=11 * S, ended_ns=12 * S, outcome="rejected")
    tracker.compensating(context, "card declined")
    tracker.step(context, "release", started_ns=12 * S, ended_ns=14 * S, compensation=True)
    tracker.ended(
        context, "compensated", ended_ns=14 * S, deadline_ns=13 * S, reason="card declined"
    )


def test_a_saga_is_one_span_from_start_to_end_with_its_steps_inside() -> None:
    with Capture() as capture:
        tracker = SagaTracker("place-order", _telemetry(capture))
        tracer = capture.tracer_provider.get_tracer("engine")
        with tracer.start_as_current_span("process placed"):
            context = tracker.begin("o-1", 10 * S)
            tracker.started(context)
        with tracer.start_as_current_span("process answer"):
            _report(tracker, context)
        tree = capture.tree(attributes=SHOWN, links=True)
        (saga,) = (span for span in capture.spans() if span.name == "saga place-order")
        events = [event.name for span in capture.spans() for event in span.events]

    # These sagas began long ago, so the process spans come after them.
    assert (
        """\
process placed INTERNAL
  saga place-order INTERNAL pipeline.saga.outcome=compensated pipeline.saga.overdue=True \
pipeline.saga.reason=card declined ~> process answer
    saga.step place-order/reserve INTERNAL pipeline.outcome=ok ~> process answer
    saga.step place-order/charge INTERNAL pipeline.outcome=rejected ~> process answer
    saga.step place-order/release INTERNAL pipeline.outcome=ok pipeline.saga.compensation=True \
~> process answer
process answer INTERNAL"""
        == tree
    )
    assert (10 * S, 14 * S) == (saga.start_time, saga.end_time)
    assert ["pipeline.saga.compensating"] == events


def test_a_restart_and_an_end_days_later_join_the_same_trace() -> None:
    with Capture("before") as before, Capture("after") as after:
        tracker = SagaTracker("place-order", _telemetry(before))
        with before.tracer_provider.get_tracer("engine").start_as_current_span("root") as root:
            stored = str(tracker.begin("o-1", 10 * S))
        context = SagaContext.parse(stored)
        assert context is not None
        tracker.step(context, "reserve", started_ns=10 * S, ended_ns=11 * S)
        restarted = SagaTracker("place-order", _telemetry(after))
        restarted.ended(context, "completed", ended_ns=400_000 * S)
        (step,) = (span for span in before.spans() if span.name.startswith("saga.step"))
        (saga,) = after.spans()

    assert step.parent is not None
    assert saga.parent is not None
    assert root.get_span_context().span_id == saga.parent.span_id
    assert (saga.context.trace_id, saga.context.span_id) == (
        step.parent.trace_id,
        step.parent.span_id,
    )
    assert f"{saga.context.trace_id:032x}" == context.trace_id


def test_a_saga_without_a_current_span_begins_its_own_trace() -> None:
    with Capture() as capture:
        tracker = SagaTracker("nightly", _telemetry(capture))
        context = tracker.begin("s-1", 10 * S)
        tracker.ended(context, "completed", ended_ns=11 * S)
        tree = capture.tree()

    assert "saga.start nightly INTERNAL\n  saga nightly INTERNAL" == tree


def test_the_spans_of_a_failed_saga_and_a_failed_step_are_errors() -> None:
    with Capture() as capture:
        tracker = SagaTracker("place-order", _telemetry(capture))
        with capture.tracer_provider.get_tracer("engine").start_as_current_span("root"):
            context = tracker.begin("o-1", 10 * S)
            tracker.step(
                context, "refund", started_ns=10 * S, ended_ns=11 * S, outcome="error",
                compensation=True, error_type="timeout",
            )  # fmt: skip
            tracker.ended(context, "failed", ended_ns=11 * S)
        tree = capture.tree(attributes=("error.type",))

    assert (
        """\
root INTERNAL
  saga place-order INTERNAL ERROR error.type=_OTHER
    saga.step place-order/refund INTERNAL ERROR error.type=timeout"""
        == tree
    )


def test_an_unsampled_trace_stays_unsampled() -> None:
    with Capture(sampler=ALWAYS_OFF) as capture:
        tracker = SagaTracker("place-order", _telemetry(capture))
        _report(tracker, tracker.begin("o-1", 10 * S))
        assert () == capture.spans()
        assert 1 == capture.metric("pipeline.saga.ended", {"outcome": "compensated"})


def test_with_another_tracer_provider_steps_are_siblings_of_the_saga() -> None:
    with Capture() as capture:
        telemetry = _telemetry(capture)
        telemetry.spans = ApiSpans(capture.tracer_provider.get_tracer("other"))
        tracker = SagaTracker("place-order", telemetry)
        with capture.tracer_provider.get_tracer("engine").start_as_current_span("root"):
            context = tracker.begin("o-1", 10 * S)
            tracker.step(context, "reserve", started_ns=10 * S, ended_ns=11 * S)
            tracker.ended(context, "completed", ended_ns=12 * S)
        tree = capture.tree()

    assert (
        """\
root INTERNAL
  saga place-order INTERNAL
  saga.step place-order/reserve INTERNAL"""
        == tree
    )


def test_a_step_reported_twice_has_the_same_span_id() -> None:
    with Capture() as capture:
        tracker = SagaTracker("place-order", _telemetry(capture))
        context = tracker.begin("o-1", 10 * S)
        for _ in range(2):
            tracker.step(context, "reserve", started_ns=10 * S, ended_ns=11 * S)
        first, second = (span.context for span in capture.spans()[1:])
        other = tracker.begin("o-2", 10 * S)
        tracker.step(other, "reserve", started_ns=10 * S, ended_ns=11 * S)

    assert first.span_id == second.span_id != capture.spans()[-1].context.span_id


def test_without_a_store_the_tracker_counts_from_zero() -> None:
    with Capture() as capture:
        tracker = SagaTracker("place-order", _telemetry(capture))
        metric = capture.metric
        assert (0, 0) == (metric("pipeline.saga.started"), metric("pipeline.saga.ended"))
        contexts = [tracker.begin(saga_id, 10 * S) for saga_id in ("o-1", "o-2")]
        for context in contexts:
            tracker.started(context)
        _report(tracker, contexts[0])
        by = {"counted.by": "process"}
        assert 2 == metric("pipeline.saga.started", {"saga": "place-order", **by})
        assert 1 == metric("pipeline.saga.ended", {"outcome": "compensated", **by})
        assert 1 == metric("pipeline.saga.compensations", {"step": "release", **by})
        assert 4.0 == getattr(metric("pipeline.saga.duration"), "sum", None)
        steps = metric("pipeline.saga.step.duration", {"outcome": "rejected", "step": "charge"})
        assert 1.0 == getattr(steps, "sum", None)
        assert None is metric("pipeline.saga.active")


def test_a_negative_duration_becomes_zero_and_is_counted() -> None:
    with Capture() as capture:
        tracker = SagaTracker("place-order", _telemetry(capture))
        context = tracker.begin("o-1", 10 * S)
        tracker.step(context, "reserve", started_ns=10 * S, ended_ns=9 * S)
        tracker.ended(context, "completed", ended_ns=8 * S)
        assert 2 == capture.metric("pipeline.clock_skew", {"reason": "saga"})
        assert all(span.end_time == span.start_time for span in capture.spans())


class _Broken(TracerProvider):
    def get_tracer(self, *_: Any, **__: Any) -> Any:
        class Tracer(trace.NoOpTracer):
            def start_span(self, *_: Any, **__: Any) -> Any:
                raise RuntimeError("no spans today")

        return Tracer()


def test_errors_of_telemetry_are_counted_and_not_raised() -> None:
    with Capture() as capture:
        telemetry = Telemetry(
            "orders", tracer_provider=_Broken(), meter_provider=capture.meter_provider
        )
        tracker = SagaTracker("place-order", telemetry)
        context = tracker.begin("\ud800" * 10, 10 * S)
        tracker.started(context)
        _report(tracker, context)
        tracker.step(context, "x", started_ns=1, outcome="weird")  # type: ignore[arg-type]  # on purpose
        tracker.ended(context, "weird")  # type: ignore[arg-type]  # on purpose
        assert 7 == capture.metric("pipeline.telemetry.dropped", {"reason": "saga"})


def test_too_many_step_names_share_one_series() -> None:
    with Capture() as capture:
        tracker = SagaTracker("place-order", _telemetry(capture))
        context = tracker.begin("o-1", 10 * S)
        for number in range(100):
            tracker.step(context, f"step-{number}", started_ns=10 * S, ended_ns=11 * S)
        rest = capture.metric("pipeline.saga.step.duration", {"step": "_OTHER"})
        assert 36 == getattr(rest, "count", None)


def test_a_resumed_block_belongs_to_the_trace_and_flow_of_the_saga() -> None:
    with Capture() as capture:
        tracker = SagaTracker("place-order", _telemetry(capture))
        tracer = capture.tracer_provider.get_tracer("engine")
        origin = str(time_ns() // 1_000_000 - 1_000)
        token = attach(Context(in_flow({"pipeline.origin": origin})))
        with tracer.start_as_current_span("root") as root:
            context = tracker.begin("o-1", 10 * S)
        detach(token)
        with pytest.raises(LookupError), tracker.resumed(context):
            assert origin == baggage.get_baggage("pipeline.origin")
            with tracer.start_as_current_span("timer") as timer:
                raise LookupError

    assert not trace.get_current_span().get_span_context().is_valid
    assert root.get_span_context().trace_id == timer.get_span_context().trace_id


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb"])
def test_a_name_that_cannot_be_a_label_is_refused(name: str) -> None:
    with Capture() as capture, pytest.raises(ValueError, match="saga must be 1 to 128"):
        SagaTracker(name, _telemetry(capture))


@given(st.text(), st.integers(0, 2**63 - 1), st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_a_context_round_trips(
    saga_id: str, started_ns: int, headers: list[tuple[str, str]]
) -> None:
    context = SagaContext(saga_id, started_ns, tuple(headers))

    assert context == SagaContext.parse(str(context))


@given(st.text() | st.from_regex(r'\[1,"x",\d+,.*\]'))
def test_any_stored_text_parses_to_a_context_or_none(text: str) -> None:
    context = SagaContext.parse(text)

    assert context is None or isinstance(context, SagaContext)
