"""What decides on sampling goes on with a message as it came, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tracing import Telemetry
from tracing.headers.codec import latest
from tracing.headers.context import continuing
from tracing.testing import Capture

STOCK = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
IDS = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
RV = b"rv:6e6d1a75832a2f"

HEX = "0123456789abcdef"
SUB_KEYS = st.fixed_dictionaries(
    {},
    optional={
        "rv": st.text(HEX, min_size=14, max_size=14),
        "th": st.text(HEX, min_size=1, max_size=14),
        "later": st.text("abcXYZ019._-", max_size=20),
    },
).map(lambda values: ";".join(f"{name}:{value}" for name, value in values.items()))
VENDORS = st.dictionaries(
    st.sampled_from(["vendor", "a@tenant", "rojo", "ott", "x/y"]),
    st.text("abc ;:019", max_size=20).map(lambda value: f"{value}x"),
    max_size=4,
)
STATES = st.tuples(VENDORS, SUB_KEYS).flatmap(
    lambda both: st.permutations([*both[0].items(), *([("ot", both[1])] if both[1] else [])])
)
FLAGS = st.integers(0, 3)

fast_or_not = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])


def sent_on(
    capture: Capture, flags: int, state: bytes, *, fast: bool, recorded: bool
) -> dict[str, Any]:
    """Return the headers of a message that is sent in the context of another."""
    telemetry = Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        propagator=STOCK,
        fast=fast,
    )
    received = [("traceparent", IDS + b"-%02x" % flags), ("tracestate", state)]
    context = continuing(telemetry.propagation.extract(received, latest(received), "t"))
    if recorded:
        span = telemetry.spans.start("send t", context, SpanKind.PRODUCER, {})
        context = set_span_in_context(span, context)
    headers: list[tuple[str, bytes | None]] = []
    current: Any = next(value for value in context.values() if hasattr(value, "get_span_context"))
    telemetry.propagation.inject(headers, current, context, "t", 0)
    return dict(headers)


@fast_or_not
@pytest.mark.parametrize("recorded", [True, False])
@settings(max_examples=60, deadline=None)
@given(FLAGS, STATES, st.sampled_from([ParentBased(ALWAYS_OFF), TraceIdRatioBased(0.5)]))
def test_a_well_formed_state_and_the_random_flag_go_on(
    fast: bool, recorded: bool, flags: int, state: list[tuple[str, str]], sampler: Any
) -> None:
    written = ",".join(f"{key}={value}" for key, value in state).encode()

    with Capture(sampler=sampler) as capture:
        headers = sent_on(capture, flags, written, fast=fast, recorded=recorded)

        assert (written or None) == headers.get("tracestate")
        assert flags & 2 == int(headers["traceparent"][-2:], 16) & 2
        if written:
            assert not capture.metric("pipeline.context.invalid", {"reason": "tracestate"})


@fast_or_not
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (b"ot=rv:1234", None),
        (b"ot=" + RV + b";th:XY", None),
        (b"a=1,ot=nonsense,b=2", b"a=1,b=2"),
        (b"a=1 , ot=" + RV + b";" + RV, b"a=1"),
        (b"ot=" + RV + b";x:" + b"y" * 250 + b",a=1", None),
        (b"ot=" + RV + b";x:" + b"y" * 230 + b",a=1", b"ot=" + RV + b";x:" + b"y" * 230 + b",a=1"),
        (b"ott=nonsense,t@ot=nonsense", b"ott=nonsense,t@ot=nonsense"),
    ],
)
def test_a_malformed_entry_of_samplers_is_left_out_and_counted(
    capture: Capture, fast: bool, recorded: bool, state: bytes, kept: bytes | None
) -> None:
    headers = sent_on(capture, 3, state, fast=fast, recorded=recorded)

    assert kept == headers.get("tracestate")
    assert b"03" == headers["traceparent"][-2:]
    if fast:
        counted = capture.metric("pipeline.context.invalid", {"reason": "tracestate"})
        assert (kept != state) == bool(counted)


@pytest.mark.parametrize("sampled", [True, False])
def test_a_span_that_only_stands_for_its_parent_sends_the_parents_state_on(sampled: bool) -> None:
    state = b"vendor=1,ot=th:c;" + RV
    with Capture(sampler=ParentBased(ALWAYS_ON)) as capture:
        headers = sent_on(capture, 2 | sampled, state, fast=True, recorded=sampled)

    assert state == headers["tracestate"]
    assert b"%02x" % (2 | sampled) == headers["traceparent"][-2:]
