"""Context and baggage over headers: any propagator, any bytes, and boundaries between parties."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import INVALID_SPAN
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tracing import Boundary, Telemetry
from tracing.headers.codec import latest
from tracing.headers.context import continuing
from tracing.headers.flow import in_flow

if TYPE_CHECKING:
    from tracing.testing import Capture

VALID = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STOCK = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


class OwnFormat(TextMapPropagator):
    """Carries a trace in one header of its own."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        del getter
        inner = {"traceparent": carrier["own"]} if "own" in carrier else {}
        return TraceContextTextMapPropagator().extract(inner, context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        del setter
        inner: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(inner, context)
        if inner:
            carrier["own"] = inner["traceparent"]

    @property
    def fields(self) -> set[str]:
        return {"own"}


class Raising(OwnFormat):
    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        raise RuntimeError("a bad day")


def telemetry(capture: Capture, **options: Any) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        **options,
    )


def read(found: Telemetry, headers: Any, topic: str = "t") -> tuple[Context, trace.Span | None]:
    extracted = found.propagation.extract(headers, latest(headers), topic)
    return continuing(extracted), extracted[0]


def write(found: Telemetry, context: Context, topic: str | None = "t") -> dict[str, bytes | None]:
    span = trace.get_current_span(context)
    headers: list[tuple[str, bytes | None]] = []
    found.propagation.inject(headers, span, context, topic, 1_700_000_000_000)
    return dict(headers)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["traceparent", "tracestate", "baggage", "other"]),
            st.one_of(st.binary(max_size=100), st.none(), st.just(VALID), st.text(max_size=5)),
        ),
        max_size=10,
    )
)
def test_any_headers_are_read(capture: Capture, headers: list[tuple[str, Any]]) -> None:
    for propagator in (STOCK, OwnFormat()):
        context, creation = read(telemetry(capture, propagator=propagator), headers)
        assert creation is None or creation.get_span_context().is_valid
        baggage.get_all(context)


def test_the_last_valid_traceparent_wins_and_the_malformed_is_counted(capture: Capture) -> None:
    earlier = VALID.replace(b"00f067aa0ba902b7", b"00f067aa0ba902b8")
    headers = [("traceparent", earlier), ("traceparent", VALID), ("traceparent", b"\xff\xfe")]

    _, creation = read(telemetry(capture), headers)

    assert creation is not None
    assert 0x00F067AA0BA902B7 == creation.get_span_context().span_id
    assert 1 == capture.metric("pipeline.context.invalid", {"reason": "traceparent"})


def test_malformed_baggage_is_counted_and_costs_nothing_else(capture: Capture) -> None:
    headers = [("traceparent", VALID), ("baggage", b"\xff")]

    context, creation = read(telemetry(capture), headers)

    assert creation is not None
    assert {} == dict(baggage.get_all(context))
    assert 1 == capture.metric("pipeline.context.invalid", {"reason": "baggage"})


def test_a_malformed_tracestate_is_counted_and_not_logged(
    capture: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [("traceparent", VALID), ("tracestate", b"secret" * 1000)]

    for _ in range(3):
        _, creation = read(telemetry(capture), headers)
        assert creation is not None
        assert not creation.get_span_context().trace_state

    assert 3 == capture.metric("pipeline.context.invalid", {"reason": "tracestate"})
    assert "secret" not in caplog.text


def test_baggage_that_cannot_be_written_is_dropped_and_counted(capture: Capture) -> None:
    context = baggage.set_baggage("lone", "\ud800", Context())

    written = write(telemetry(capture), context)["baggage"]

    assert b"pipeline.name=orders,pipeline.origin=1700000000000" == written
    assert 1 == capture.metric("pipeline.telemetry.dropped", {"reason": "baggage"})


def test_a_raising_propagator_is_counted(capture: Capture) -> None:
    _, creation = read(telemetry(capture, propagator=Raising()), [("own", VALID)])

    assert creation is None
    assert 1 == capture.metric("pipeline.context.invalid", {"reason": "propagator"})


@pytest.mark.parametrize("propagator", [STOCK, OwnFormat()])
def test_a_context_round_trips(capture: Capture, propagator: TextMapPropagator) -> None:
    found = telemetry(capture, propagator=propagator)
    context, _ = read(telemetry(capture), [("traceparent", VALID), ("tracestate", b"a=1")])

    headers = write(found, context)
    _, creation = read(found, list(headers.items()))

    assert creation is not None
    sent = trace.get_current_span(context).get_span_context()
    assert sent.trace_id == creation.get_span_context().trace_id
    assert sent.span_id == creation.get_span_context().span_id


def test_w3c_headers_are_what_the_stock_propagator_writes(capture: Capture) -> None:
    context, _ = read(telemetry(capture), [("traceparent", VALID), ("tracestate", b"a=1,b=2")])
    flow = {"pipeline.origin": "5", "user": "Zoë, 7", "pipeline.name": "orders"}
    named = Context({**context, **in_flow(flow)})
    expected: dict[str, str] = {}
    STOCK.inject(expected, named)

    own = telemetry(capture)
    written = {name: (value or b"").decode() for name, value in write(own, named).items()}

    assert expected == written


def test_the_root_of_a_flow_sets_its_name_and_origin(capture: Capture) -> None:
    assert {"baggage": b"pipeline.name=orders,pipeline.origin=1700000000000"} == write(
        telemetry(capture), Context()
    )


def test_a_flow_that_has_an_origin_keeps_it_and_its_name(capture: Capture) -> None:
    given = b"pipeline.name=billing,pipeline.origin=%d" % (time.time() * 1000 - 42)

    context, _ = read(telemetry(capture), [("baggage", given)])

    assert given == write(telemetry(capture), context)["baggage"]


@pytest.mark.parametrize("origin", ["", "1e3", "-5", "١٢", "9" * 400, "a,b"])
def test_an_invalid_origin_does_no_harm(capture: Capture, origin: str) -> None:
    context = Context(in_flow({"pipeline.origin": origin}))

    write(telemetry(capture), context)


class TestBoundary:
    def test_only_allowed_baggage_is_written(self, capture: Capture) -> None:
        found = telemetry(capture, boundaries={"public": Boundary()})
        context = baggage.set_baggage("user.email", "x@example.com", Context())

        assert b"user.email" in (write(found, context, "inside")["baggage"] or b"")
        assert (
            b"pipeline.name=orders,pipeline.origin=1700000000000"
            == (write(found, context, "public")["baggage"])
        )

    def test_only_allowed_baggage_is_read(self, capture: Capture) -> None:
        found = telemetry(capture, boundaries={"public": Boundary(baggage=("ok.*",))})

        context, _ = read(found, [("baggage", b"ok.a=1,other=2")], "public")

        assert {"ok.a": "1"} == dict(baggage.get_all(context))

    @pytest.mark.parametrize("propagator", [STOCK, OwnFormat()])
    def test_a_boundary_can_hold_trace_context_back(
        self, capture: Capture, propagator: TextMapPropagator
    ) -> None:
        boundaries = {"public": Boundary(trace_context=False)}
        found = telemetry(capture, boundaries=boundaries, propagator=propagator)
        context, _ = read(telemetry(capture), [("traceparent", VALID)])

        assert {"traceparent", "own"}.isdisjoint(write(found, context, "public"))
        _, creation = read(found, [("traceparent", VALID), ("own", VALID)], "public")
        assert creation in {None, INVALID_SPAN}

    def test_a_batch_whose_topic_is_unknown_obeys_every_boundary(self, capture: Capture) -> None:
        boundaries = {"a": Boundary(baggage=("x.*", "y.*")), "b": Boundary(baggage=("x.*",))}
        context = baggage.set_baggage("x.1", "1", baggage.set_baggage("y.1", "1", Context()))

        found = telemetry(capture, boundaries=boundaries)

        assert {"baggage": b"x.1=1"} == write(found, context, None)


def test_baggage_too_large_to_carry_is_cut_and_counted(capture: Capture) -> None:
    context = baggage.set_baggage("huge", "x" * 10_000, Context())

    written = write(telemetry(capture), context)["baggage"]

    assert b"pipeline.name=orders,pipeline.origin=1700000000000" == written
    assert 1 == capture.metric("pipeline.telemetry.dropped", {"reason": "baggage"})
