"""Retries, duplicates and dead letters: counted by metrics, with topics and traces from spans."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics.export import MetricsData

from demo_pipeline.report import RunResult
from demo_pipeline.report.analysis import analyse
from demo_pipeline.report.delivery import DeadLetterKind, deliveries
from tests.demo_pipeline.report.counting import counted, labels, payment_counts

if TYPE_CHECKING:
    from tests.demo_pipeline.report.recording import Recorder


def with_metrics(result: RunResult, *metrics: MetricsData) -> RunResult:
    return replace(result, metrics=metrics)


def test_counts_are_summed_up_by_service_group_and_topic_without_the_zeros() -> None:
    metrics = (
        counted("payment", ("pipeline.retries", 2, labels("payment", "orders", "A"))),
        counted(
            "payment",
            ("pipeline.retries", 3, labels("payment", "orders", "A")),
            ("pipeline.retries", 1, labels("payment", "orders", "B")),
            ("pipeline.duplicates", 4, labels("payment", "orders")),
            ("pipeline.dead_letters", 5, labels("payment", "orders", "C")),
            ("pipeline.duplicates", 0, labels("shipping", "orders")),
        ),
        counted("audit", ("pipeline.duplicates", 7, labels("auditors", "orders"))),
    )

    audit, payment = deliveries(metrics)

    assert ("audit/auditors", "orders", 7) == (audit.reader, audit.topic, audit.duplicates)
    assert ("payment", "orders", 4) == (payment.reader, payment.topic, payment.duplicates)
    assert payment.retries == {"A": 5, "B": 1}
    assert payment.dead_letters == {"C": 5}


def test_counters_without_labels_are_reported() -> None:
    (delivery,) = deliveries((counted("payment", ("pipeline.dead_letters", 1, {})),))

    assert delivery.dead_letters == {"unknown": 1}
    assert ("payment", "") == (delivery.reader, delivery.topic)


def test_zeros_alone_are_not_reported() -> None:
    assert deliveries((payment_counts(dead_letters=0), MetricsData(resource_metrics=[]))) == ()


def test_records_that_succeed_at_a_later_attempt_count_as_recovered(recorder: "Recorder") -> None:
    recorder.given_up("lost")
    request = recorder.request(0, 5)
    topic = "inventory.events"
    for attempts, outcome in ((1, "ok"), (2, "ok"), (3, "rejected"), (3, "error")):
        recorder.process("payment", topic, "a", 10, 20, request, attempts=attempts, outcome=outcome)
    recorder.process("shipping", topic, "a", 10, 20, request, attempts=2)

    (payment,) = analyse(with_metrics(recorder.result("a"), payment_counts())).deliveries

    assert payment.recovered == 2


def test_dead_letters_are_grouped_by_topic_and_error_with_one_example_trace(
    recorder: "Recorder",
) -> None:
    first = recorder.given_up("a")
    recorder.given_up("b", 600)
    poison = counted(
        "inventory", ("pipeline.dead_letters", 3, labels("inventory", "orders.events", "Decode"))
    )
    other = counted(
        "payment", ("pipeline.dead_letters", 7, labels("payment", "inventory.events", "Other"))
    )

    result = with_metrics(recorder.result("a", "b"), payment_counts(dead_letters=2), poison, other)

    # Without spans, the topic has its default name, and there is no trace.
    topic, trace_id = "inventory.events.payment.dlq", first.get_span_context().trace_id
    assert analyse(result).dead_letters == (
        DeadLetterKind(topic, "Other", 7, None),
        DeadLetterKind(topic, "ConnectionError", 2, trace_id),
        DeadLetterKind("orders.events.inventory.dlq", "Decode", 3, None),
    )


def test_a_dead_letter_topic_with_a_custom_name_is_read_from_spans(recorder: "Recorder") -> None:
    recorder.given_up("a")
    result = with_metrics(recorder.result("a"), payment_counts())
    for span in result.spans:
        if span.name.startswith("dead_letter"):
            renamed = {**(span.attributes or {}), "messaging.destination.name": "graveyard"}
            object.__setattr__(span, "_attributes", renamed)

    (kind,) = analyse(result).dead_letters

    assert kind.topic == "graveyard"


@pytest.mark.parametrize("order_ids", [("fast", "lost"), ("lost", "fast")])
def test_the_dead_lettered_order_is_found(recorder: "Recorder", order_ids: tuple[str, ...]) -> None:
    recorder.order("fast")
    recorder.given_up("lost")

    dead_lettered = analyse(recorder.result(*order_ids)).dead_lettered_order

    assert dead_lettered is not None
    assert dead_lettered.order.order_id == "lost"


def test_without_dead_letters_there_is_no_dead_lettered_order(recorder: "Recorder") -> None:
    recorder.order("a")

    analysis = analyse(recorder.result("a"))

    assert (analysis.dead_lettered_order, analysis.deliveries, analysis.dead_letters) == (
        None,
        (),
        (),
    )
