from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from opentelemetry.trace import SpanKind

from demo_pipeline.report import check_traces
from tests.demo_pipeline.report.saga_recording import completed_order, saga

if TYPE_CHECKING:
    from tests.demo_pipeline.report.recording import Recorder


def test_whole_orders_have_no_fault(recorder: "Recorder") -> None:
    recorder.order("a")
    recorder.order("b", 7)

    assert check_traces(recorder.result("a", "b")) == ()


def test_poll_spans_are_no_traces_of_an_order(recorder: "Recorder") -> None:
    request = recorder.order("a")
    recorder.poll("inventory", "orders.events", "a", 12, [request])

    assert check_traces(recorder.result("a")) == ()


def test_an_order_without_spans_has_no_trace(recorder: "Recorder") -> None:
    assert check_traces(recorder.result("lost")) == ("order lost has no trace",)


def test_an_order_in_two_traces_names_both_and_their_services(recorder: "Recorder") -> None:
    request = recorder.order("a")
    stray = recorder.process("payment", "inventory.events", "a", 100, 110, None)

    (fault,) = check_traces(recorder.result("a"))

    ids = [f"{span.get_span_context().trace_id:032x}" for span in (request, stray)]
    assert fault.startswith("order a is in 2 traces instead of one: ")
    assert f"{ids[0]} (orders, analytics, inventory, payment, shipping)" in fault
    assert f"{ids[1]} (payment)" in fault


def test_every_missing_service_is_named(recorder: "Recorder") -> None:
    request = recorder.request(0, 5)
    sent = recorder.send("orders", "orders.events", "a", 1, 2, request)
    recorder.process("inventory", "orders.events", "a", 3, 4, sent)
    recorder.process("analytics", "orders.events", "a", 3, 4, sent)

    (fault,) = check_traces(recorder.result("a"))

    trace = f"{request.get_span_context().trace_id:032x}"
    assert (
        f"order a, trace {trace}: service payment is missing; service shipping is missing" == fault
    )


def test_a_dead_lettered_order_need_not_have_reached_all_services(recorder: "Recorder") -> None:
    recorder.given_up("a")

    assert check_traces(recorder.result("a")) == ()


def test_an_outcome_shows_a_dead_letter_whose_span_is_missing(recorder: "Recorder") -> None:
    recorder.given_up("a")
    result = recorder.result("a")
    kept = tuple(span for span in result.spans if not span.name.startswith("dead_letter"))

    assert check_traces(replace(result, spans=kept)) == ()


@pytest.mark.parametrize(
    ("expected", "missing"),
    [("it has no root span", "POST /orders"), ("with a missing parent", "send orders")],
)
def test_the_trace_of_a_dead_lettered_order_must_be_complete(
    recorder: "Recorder", expected: str, missing: str
) -> None:
    recorder.given_up("a")
    result = recorder.result("a")
    kept = tuple(span for span in result.spans if not span.name.startswith(missing))

    (fault,) = check_traces(replace(result, spans=kept))

    assert expected in fault


def test_a_dead_lettered_order_in_two_traces_is_a_fault(recorder: "Recorder") -> None:
    recorder.given_up("a")
    recorder.given_up("a", 600)

    (fault,) = check_traces(recorder.result("a"))

    assert fault.startswith("order a is in 2 traces instead of one: ")


def test_a_record_that_was_delivered_twice_is_no_fault(recorder: "Recorder") -> None:
    recorder.order("a")
    request = recorder.request(100, 105)
    sent = recorder.send("orders", "orders.events", "b", 101, 102, request)
    for service in ("inventory", "payment", "shipping", "analytics"):
        recorder.process(service, "orders.events", "b", 110, 112, sent, wait=8)
        recorder.process(service, "orders.events", "b", 120, 121, sent, wait=18, duplicate=True)

    assert check_traces(recorder.result("a", "b")) == ()


def test_a_span_whose_parent_is_missing_is_named(recorder: "Recorder") -> None:
    recorder.order("a")
    result = recorder.result("a")
    lost = "send payment.events"
    kept = tuple(span for span in result.spans if span.name != lost)

    (fault,) = check_traces(replace(result, spans=kept))

    assert fault.endswith(
        ": 2 spans with a missing parent: "
        "'process payment.events' of analytics, 'process payment.events' of shipping"
    )


def test_the_span_of_an_active_saga_is_no_missing_parent(recorder: "Recorder") -> None:
    whole = completed_order(recorder, "a")
    recorder.send("orders", "payment.commands", "a", 60, 61, whole)
    result = recorder.result("a")
    kept = tuple(span for span in result.spans if span.name != "saga place-order")

    assert len(kept) + 1 == len(result.spans)
    assert check_traces(replace(result, spans=kept)) == ()


def test_a_missing_parent_beside_an_active_saga_is_reported(
    recorder: "Recorder",
) -> None:
    completed_order(recorder, "a")
    result = recorder.result("a")
    lost = {"saga place-order", "send shipping.events"}
    kept = tuple(span for span in result.spans if span.name not in lost)

    (fault,) = check_traces(replace(result, spans=kept))

    assert fault.endswith(": 1 span with a missing parent: 'process shipping.events' of analytics")


@pytest.mark.parametrize(("outcome", "whole"), [("compensated", True), ("completed", False)])
def test_an_order_whose_saga_compensated_need_not_have_reached_all_services(
    recorder: "Recorder", outcome: str, whole: bool
) -> None:
    saga(recorder, "a", 1, 2, recorder.order("a"), outcome=outcome)
    result = recorder.result("a")
    kept = tuple(
        span for span in result.spans if span.resource.attributes["service.name"] != "shipping"
    )
    kept = tuple(span for span in kept if "shipping" not in span.name)

    faults = check_traces(replace(result, spans=kept))

    assert whole is not any("service shipping is missing" in fault for fault in faults)


def test_a_trace_without_a_root_is_reported(recorder: "Recorder") -> None:
    recorder.order("a")
    result = recorder.result("a")
    kept = tuple(span for span in result.spans if span.kind is not SpanKind.SERVER)

    (fault,) = check_traces(replace(result, spans=kept))

    assert "it has no root span; 1 span with a missing parent" in fault


def test_a_root_that_is_no_server_span_is_a_fault(recorder: "Recorder") -> None:
    batch = recorder.span("orders", "nightly batch", SpanKind.INTERNAL, 0, 9)
    sent = recorder.send("orders", "orders.events", "a", 1, 2, batch)
    for service in ("inventory", "payment", "shipping", "analytics"):
        recorder.process(service, "orders.events", "a", 3, 4, sent)

    (fault,) = check_traces(recorder.result("a"))

    assert fault.endswith(
        ": its root 'nightly batch' of orders is INTERNAL, not an HTTP server's span"
    )


def test_only_the_broken_orders_are_reported_and_each_once(recorder: "Recorder") -> None:
    recorder.order("good")

    assert check_traces(recorder.result("good", "lost", "lost")) == ("order lost has no trace",)


def test_spans_exported_twice_count_once(recorder: "Recorder") -> None:
    recorder.order("a")
    result = recorder.result("a")

    assert check_traces(replace(result, spans=result.spans * 2)) == ()


def test_control_characters_of_an_order_id_stay_out_of_the_sentence(recorder: "Recorder") -> None:
    assert check_traces(recorder.result("\x1b[31mred")) == ("order \ufffd[31mred has no trace",)
