"""Sagas by name: counted by metrics, timed by spans."""

from dataclasses import replace
from typing import TYPE_CHECKING

from demo_pipeline.report import RunResult
from demo_pipeline.report.analysis import analyse
from demo_pipeline.report.model import Distribution
from tests.demo_pipeline.report.saga_recording import (
    NAME,
    completed_order,
    ended,
    refused_order,
    reported,
    saga,
    step,
)

if TYPE_CHECKING:
    from demo_pipeline.report.sagas import Saga
    from tests.demo_pipeline.report.recording import Recorder

MS = 1_000_000


def only_saga(result: RunResult) -> "Saga":
    (saga,) = analyse(result).sagas
    return saga


def figures(saga: "Saga") -> tuple[int, ...]:
    return (
        saga.started,
        saga.completed,
        saga.compensated,
        saga.failed,
        saga.overdue,
        saga.active,
    )


def test_without_sagas_there_is_nothing_to_report(recorder: "Recorder") -> None:
    recorder.order("a")
    quiet = reported("orders", ("started", 0, {}), ended("failed", 0), ("active", 0, {}))

    assert analyse(recorder.result("a", metrics=(quiet,))).sagas == ()


def test_counts_of_replicas_that_share_a_store_are_not_added_up(recorder: "Recorder") -> None:
    running, turning = {"state": "running"}, {"state": "compensating"}
    older = reported(
        "orders",
        ("started", 90, {}),
        ended("completed", 70),
        ended("failed", 2),
        ("active", 9, running),
        ("overdue", 4, {}),
    )
    newer = reported(
        "other-orders",
        ("started", 100, {}),
        ended("completed", 80),
        ended("compensated", 8),
        ended("failed", 1),
        ("active", 3, running),
        ("active", 4, turning),
        ("overdue", 3, {}),
    )

    for metrics in ((older, newer), (newer, older)):
        saga = only_saga(recorder.result(metrics=metrics))

        # Active sagas are added up by state within one export, never across two exports.
        assert figures(saga) == (100, 80, 8, 2, 4, 9)
        assert (saga.duration, saga.steps) == (None, ())


def test_metrics_take_precedence_over_spans(recorder: "Recorder") -> None:
    completed_order(recorder, "a")
    counts = reported("orders", ("started", 7, {}), ended("compensated", 5), ("active", 2, {}))

    assert figures(only_saga(recorder.result("a", metrics=(counts,)))) == (7, 0, 5, 0, 0, 2)


def test_spans_are_counted_where_metrics_are_missing(recorder: "Recorder") -> None:
    completed_order(recorder, "a")
    refused_order(recorder, "b")
    saga(recorder, "c", 0, 9, outcome="failed", overdue=True)
    under_way = saga(recorder, "d", 0, 9)
    step(recorder, under_way, "d", "reserve-inventory", 1, 2)
    step(recorder, under_way, "d", "charge-card", 2, 3)

    result = without(recorder.result("a", "b"), under_way.get_span_context().span_id)

    assert figures(only_saga(result)) == (4, 1, 1, 1, 2, 1)


def without(result: RunResult, span_id: int) -> RunResult:
    kept = tuple(span for span in result.spans if span.context.span_id != span_id)
    return replace(result, spans=kept)


def test_overdue_counts_sagas_that_ended_late_and_active_ones_past_their_deadline(
    recorder: "Recorder",
) -> None:
    refused_order(recorder, "b")
    late = reported("orders", ("overdue", 3, {}), ("oldest_age", 70, {}))

    assert only_saga(recorder.result("b", metrics=(late,))).overdue == 4


def test_durations_are_those_of_the_sagas_spans(recorder: "Recorder") -> None:
    for number in range(20):
        saga(recorder, f"{number}", 0, 20 - number)

    assert Distribution(10 * MS, 19 * MS, 20 * MS, 20 * MS) == (
        only_saga(recorder.result()).duration
    )


def test_steps_are_in_the_order_of_their_first_starts_with_compensations_last(
    recorder: "Recorder",
) -> None:
    # The compensation of this saga starts before the third step of any other.
    whole = saga(recorder, "a", 0, 30, outcome="compensated")
    step(recorder, whole, "a", "refund-card", 11, 19, compensation=True)
    step(recorder, whole, "a", "charge-card", 9, 10, outcome="rejected")
    step(recorder, whole, "a", "reserve-inventory", 1, 9)
    refused_order(recorder, "b", 100)
    completed_order(recorder, "c", 300)

    steps = only_saga(recorder.result("b", "c")).steps

    assert [
        (each.name, each.compensation, each.ok, each.rejected, each.errors) for each in steps
    ] == [
        ("reserve-inventory", False, 3, 0, 0),
        ("charge-card", False, 2, 1, 0),
        ("ship-order", False, 1, 1, 0),
        ("refund-card", True, 2, 0, 0),
        ("release-inventory", True, 0, 0, 1),
    ]
    assert Distribution(20 * MS, 30 * MS, 30 * MS, 30 * MS) == steps[0].duration


def test_sagas_of_different_names_are_kept_apart(recorder: "Recorder") -> None:
    completed_order(recorder, "a")
    whole = saga(recorder, "r", 0, 9, name="return-order", outcome="failed")
    step(recorder, whole, "r", "fetch-parcel", 1, 8, name="return-order")
    elsewhere = reported("orders", ("started", 3, {}), name="bill-customer")

    bill, place, back = analyse(recorder.result("a", metrics=(elsewhere,))).sagas

    assert [bill.name, place.name, back.name] == ["bill-customer", NAME, "return-order"]
    assert (bill.started, place.completed, back.failed) == (3, 1, 1)
    assert [len(saga.steps) for saga in (bill, place, back)] == [0, 3, 1]


def test_other_spans_with_a_saga_name_are_no_sagas(recorder: "Recorder") -> None:
    completed_order(recorder, "a")
    spans = recorder.spans
    object.__setattr__(
        spans[0], "_attributes", {**(spans[0].attributes or {}), "pipeline.saga.name": "x"}
    )

    assert [saga.name for saga in analyse(recorder.result("a")).sagas] == [NAME]
