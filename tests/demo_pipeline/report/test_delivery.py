"""Retries, duplicates and dead letters: counted from the metrics, placed by the spans."""

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


def test_counters_without_labels_are_told_as_well() -> None:
    (found,) = deliveries((counted("payment", ("pipeline.dead_letters", 1, {})),))

    assert found.dead_letters == {"unknown": 1}
    assert ("payment", "") == (found.reader, found.topic)


def test_zeros_alone_are_nothing_to_tell() -> None:
    assert deliveries((payment_counts(letters=0), MetricsData(resource_metrics=[]))) == ()


def test_recovered_is_what_went_through_at_a_later_attempt(recorder: "Recorder") -> None:
    recorder.given_up("lost")
    request = recorder.request(0, 5)
    topic = "inventory.events"
    for attempts, outcome in ((1, "ok"), (2, "ok"), (3, "rejected"), (3, "error")):
        recorder.process("payment", topic, "a", 10, 20, request, attempts=attempts, outcome=outcome)
    recorder.process("shipping", topic, "a", 10, 20, request, attempts=2)

    (payment,) = analyse(with_metrics(recorder.result("a"), payment_counts())).deliveries

    assert payment.recovered == 2


def test_dead_letters_are_told_by_topic_and_error_with_the_trace_of_one(
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

    result = with_metrics(recorder.result("a", "b"), payment_counts(letters=2), poison, other)

    # Where no span tells, the place is the usual one, and there is no trace.
    topic, trace_id = "inventory.events.payment.dlq", first.get_span_context().trace_id
    assert analyse(result).dead_letters == (
        DeadLetterKind(topic, "Other", 7, None),
        DeadLetterKind(topic, "ConnectionError", 2, trace_id),
        DeadLetterKind("orders.events.inventory.dlq", "Decode", 3, None),
    )


def test_a_dead_letter_topic_of_another_name_is_told_by_its_spans(recorder: "Recorder") -> None:
    recorder.given_up("a")
    result = with_metrics(recorder.result("a"), payment_counts())
    for span in result.spans:
        if span.name.startswith("dead_letter"):
            renamed = {**(span.attributes or {}), "messaging.destination.name": "graveyard"}
            object.__setattr__(span, "_attributes", renamed)

    (kind,) = analyse(result).dead_letters

    assert kind.topic == "graveyard"


@pytest.mark.parametrize("order_ids", [("fast", "lost"), ("lost", "fast")])
def test_a_dead_lettered_order_is_found_among_the_others(
    recorder: "Recorder", order_ids: tuple[str, ...]
) -> None:
    recorder.order("fast")
    recorder.given_up("lost")

    given_up = analyse(recorder.result(*order_ids)).given_up

    assert given_up is not None
    assert given_up.order.order_id == "lost"


def test_without_dead_letters_there_is_no_dead_lettered_order(recorder: "Recorder") -> None:
    recorder.order("a")

    analysis = analyse(recorder.result("a"))

    assert (analysis.given_up, analysis.deliveries, analysis.dead_letters) == (None, (), ())
