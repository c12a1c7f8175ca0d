from typing import TYPE_CHECKING

import pytest

from demo_pipeline.report.analysis import analyse
from demo_pipeline.report.model import Breakdown, Distribution
from demo_pipeline.report.timing import distribution
from demo_pipeline.report.wording import milliseconds, shares
from tests.demo_pipeline.report.saga_recording import completed_order, saga, step

if TYPE_CHECKING:
    from demo_pipeline.report.model import Timing
    from tests.demo_pipeline.report.recording import Recorder

MS = 1_000_000


def in_ms(
    wait: float,
    processing: float,
    publish: float,
    other: float,
    retry: float = 0,
    database: float = 0,
) -> Breakdown:
    parts = wait, processing, publish, retry, other, database
    return Breakdown(*(round(part * MS) for part in parts))


def timing_of(recorder: "Recorder", order: str) -> "Timing":
    (report,) = analyse(recorder.result(order)).orders
    assert report.timing is not None
    return report.timing


def test_a_single_duration_is_every_percentile() -> None:
    assert Distribution(p50=7, p95=7, p99=7, max=7) == distribution([7])


def test_percentiles_are_values_that_occurred() -> None:
    assert Distribution(p50=50, p95=95, p99=99, max=100) == distribution(range(100, 0, -1))
    assert Distribution(p50=1, p95=2, p99=2, max=2) == distribution([2, 1])


def test_no_durations_have_no_percentiles() -> None:
    assert distribution([]) is None


def test_end_to_end_runs_from_the_request_to_the_last_processing(recorder: "Recorder") -> None:
    recorder.order("a", 100, slow=30)

    assert timing_of(recorder, "a").duration_ns == 120 * MS


def test_the_critical_path_splits_without_remainder(recorder: "Recorder") -> None:
    recorder.order("a", slow=30)

    timing = timing_of(recorder, "a")

    assert timing.duration_ns == timing.breakdown.total_ns
    assert in_ms(wait=10 + 50 + 15 + 14, processing=6 + 8 + 5 + 5, publish=4 + 1, other=2) == (
        timing.breakdown
    )


def test_time_in_an_outbox_is_publishing(recorder: "Recorder") -> None:
    request = recorder.request(0, 5)
    sent = recorder.send("orders", "orders.events", "a", 50, 52, request)
    recorder.process("inventory", "orders.events", "a", 60, 61, sent, wait=9)

    assert in_ms(wait=9, processing=1, publish=46, other=5) == timing_of(recorder, "a").breakdown


def test_without_a_wait_on_the_span_the_gap_is_other(recorder: "Recorder") -> None:
    request = recorder.request(0, 5)
    sent = recorder.send("orders", "orders.events", "a", 2, 4, request)
    recorder.process("inventory", "orders.events", "a", 10, 11, sent)

    assert in_ms(wait=0, processing=1, publish=2, other=8) == timing_of(recorder, "a").breakdown


def test_backoff_on_the_critical_path_counts_as_retry(recorder: "Recorder") -> None:
    request = recorder.request(0, 5)
    sent = recorder.send("orders", "orders.events", "a", 2, 4, request)
    stock = recorder.process("inventory", "orders.events", "a", 10, 328, sent, wait=6, attempts=3)
    recorder.retry("inventory", "orders.events", "a", 70, 80, stock, backoff=50)
    third = recorder.retry("inventory", "orders.events", "a", 280, 326, stock, backoff=150)
    sent = recorder.send("inventory", "inventory.events", "a", 300, 301, third)
    recorder.process("payment", "inventory.events", "a", 320, 330, sent, wait=19)

    timing = timing_of(recorder, "a")

    # 10 of the first attempt, 10 of the second, 20 of the third up to its event; the second
    # backoff took longer than planned: it counts from the end of the previous attempt.
    assert in_ms(wait=25, processing=50, publish=3, retry=250, other=2) == timing.breakdown
    assert timing.duration_ns == timing.breakdown.total_ns == 330 * MS


def test_waits_for_the_database_are_apart_from_processing(recorder: "Recorder") -> None:
    request = recorder.request(0, 5)
    sent = recorder.send("orders", "orders.events", "a", 2, 4, request)
    stock = recorder.process("inventory", "orders.events", "a", 10, 60, sent, wait=6, connection=40)
    # Its outbox is quicker than the end of the work.
    sent = recorder.send("inventory", "inventory.events", "a", 58, 59, stock)
    recorder.process("payment", "inventory.events", "a", 70, 80, sent, wait=8, connection=7)

    timing = timing_of(recorder, "a")

    assert in_ms(wait=14, processing=8 + 3, publish=6, other=2, database=47) == timing.breakdown
    assert timing.duration_ns == timing.breakdown.total_ns == 80 * MS


def test_each_attempt_on_the_critical_path_waits_for_the_database_itself(
    recorder: "Recorder",
) -> None:
    request = recorder.request(0, 5)
    stock = recorder.process(
        "inventory", "orders.events", "a", 10, 170, request, attempts=3, connection=15
    )
    recorder.retry("inventory", "orders.events", "a", 50, 70, stock, backoff=20, connection=9)
    recorder.retry("inventory", "orders.events", "a", 100, 160, stock, backoff=30, connection=50)

    timing = timing_of(recorder, "a")

    # 20 of the first attempt, 20 of the second, and 70 from the start of the last one.
    waits = 15 + 9 + 50
    assert timing.breakdown == in_ms(
        wait=0, processing=20 + 20 + 70 - waits, publish=0, other=10, retry=50, database=waits
    )


def test_a_wait_for_the_database_is_no_longer_than_its_attempt(recorder: "Recorder") -> None:
    request = recorder.request(0, 5)
    recorder.process("inventory", "orders.events", "a", 10, 20, request, connection=4000)

    assert in_ms(wait=0, processing=0, publish=0, other=10, database=10) == (
        timing_of(recorder, "a").breakdown
    )


def test_backoff_before_a_dead_letter_is_part_of_its_orders_time(recorder: "Recorder") -> None:
    recorder.given_up("a")

    timing = timing_of(recorder, "a")

    assert in_ms(wait=13, processing=6 + 76, publish=3, retry=400, other=2) == timing.breakdown
    assert timing.duration_ns == timing.breakdown.total_ns == 500 * MS


def test_a_saga_beside_the_critical_path_does_not_change_its_timing(recorder: "Recorder") -> None:
    recorder.order("plain")
    whole = completed_order(recorder, "with-saga")
    step(recorder, whole, "with-saga", "close-books", 82, 4000)

    assert timing_of(recorder, "plain") == timing_of(recorder, "with-saga")


def test_records_sent_by_a_sagas_timer_are_timed_from_the_request(recorder: "Recorder") -> None:
    request = recorder.request(0, 5)
    sent = recorder.send("orders", "orders.events", "a", 2, 4, request)
    placed = recorder.process("orders", "orders.events", "a", 10, 14, sent, wait=6)
    whole = saga(recorder, "a", 12, 900, placed)
    step(recorder, whole, "a", "charge-card", 13, 880)
    sent = recorder.send("orders", "payment.commands", "a", 514, 515, whole)
    recorder.process("payment", "payment.commands", "a", 520, 530, sent, wait=5)

    timing = timing_of(recorder, "a")

    # Between the end of the work and the timer there was neither processing nor publishing.
    assert in_ms(wait=6 + 5, processing=4 + 10, publish=2 + 1, other=2 + 500) == timing.breakdown
    assert timing.duration_ns == timing.breakdown.total_ns == 530 * MS


@pytest.mark.parametrize("backoff", [0, -5, 10_000_000, float("nan")])
def test_an_impossible_backoff_is_tolerated(recorder: "Recorder", backoff: float) -> None:
    request = recorder.request(0, 5)
    stock = recorder.process("inventory", "orders.events", "a", 10, 40, request, attempts=2)
    recorder.retry("inventory", "orders.events", "a", 30, 60, stock, backoff=backoff)

    timing = timing_of(recorder, "a")

    assert timing.duration_ns == timing.breakdown.total_ns == 40 * MS
    assert min(part for _, part in timing.breakdown.parts()) >= 0


def test_clocks_that_disagree_never_give_negative_time(recorder: "Recorder") -> None:
    request = recorder.request(100, 105)
    sent = recorder.send("orders", "orders.events", "a", 102, 104, request)
    recorder.process("inventory", "orders.events", "a", 10, 20, sent, wait=500)

    timing = timing_of(recorder, "a")

    assert timing.duration_ns == timing.breakdown.total_ns
    assert min(part for _, part in timing.breakdown.parts()) >= 0


@pytest.mark.parametrize(
    "wait", ["long", float("nan"), float("inf"), True, -3.0, 1e305, -1e305, 10**400]
)
def test_an_impossible_wait_is_tolerated(recorder: "Recorder", wait: object) -> None:
    request = recorder.request(0, 5)
    sent = recorder.process("inventory", "orders.events", "a", 10, 11, request)
    assert sent is not None
    spans = recorder.spans
    object.__setattr__(
        spans[-1], "_attributes", {**(spans[-1].attributes or {}), "pipeline.wait.duration": wait}
    )

    timing = timing_of(recorder, "a")

    assert 11 * MS == timing.duration_ns == timing.breakdown.total_ns


def test_hops_come_in_the_order_of_the_flow_with_rejections_apart_from_errors(
    recorder: "Recorder",
) -> None:
    request = recorder.request(0, 5)
    sent = recorder.send("orders", "orders.events", "a", 1, 2, request)
    recorder.process("payment", "orders.events", "a", 20, 22, sent, wait=4, outcome="rejected")
    recorder.process("payment", "orders.events", "a", 30, 34, sent, wait=8, outcome="error")
    recorder.process("inventory", "orders.events", "a", 10, 11, sent)

    hops = analyse(recorder.result("a")).hops

    assert [hop.reader for hop in hops] == ["inventory", "payment"]
    assert hops[0].wait is None
    payment = hops[1]
    assert (payment.records, payment.rejected, payment.errors) == (2, 1, 1)
    assert Distribution(4 * MS, 8 * MS, 8 * MS, 8 * MS) == payment.wait
    assert Distribution(2 * MS, 4 * MS, 4 * MS, 4 * MS) == payment.processing


def test_the_slowest_order_comes_first_and_the_untimed_last(recorder: "Recorder") -> None:
    recorder.order("quick")
    recorder.order("slow", slow=10)

    orders = analyse(recorder.result("lost", "quick", "slow")).orders

    assert [report.order.order_id for report in orders] == ["slow", "quick", "lost"]


@pytest.mark.parametrize(
    ("expected", "duration_ns"),
    [
        ("-", None),
        ("0.00", 0),
        ("9.99", 9_994_000),
        ("10.0", 9_996_000),
        ("99.9", 99_940_000),
        ("100", 99_960_000),
        ("1,234", 1_234_000_000),
    ],
)
def test_durations_have_three_significant_digits(expected: str, duration_ns: int | None) -> None:
    assert expected == milliseconds(duration_ns)


def test_shares_add_up_to_a_hundred() -> None:
    assert shares([1, 1, 1]) == (34, 33, 33)
    assert shares([0, 0]) == (0, 0)


def test_a_hop_shows_the_wait_for_a_connection_apart_from_processing(
    recorder: "Recorder",
) -> None:
    retried = recorder.process("payment", "t", "a", 10, 140, None, attempts=3, connection=5)
    recorder.retry("payment", "t", "a", 50, 70, retried, backoff=20, connection=9)
    recorder.retry("payment", "t", "a", 100, 130, retried, backoff=30, connection=7)
    recorder.process("shipping", "t", "a", 150, 160, None)

    payment, shipping = analyse(recorder.result("a")).hops

    # The first attempt took 20 ms, and from the start of the last one it took 40. What the second
    # one waited is part of the retry.
    assert distribution([12 * MS]) == payment.connection
    assert distribution([(20 + 40 - 12) * MS]) == payment.processing
    assert shipping.connection is None
    assert distribution([10 * MS]) == shipping.processing


def test_a_hop_separates_retry_from_processing_and_reports_the_age_of_its_flows(
    recorder: "Recorder",
) -> None:
    recorder.given_up("a")
    recorder.process("shipping", "t", "a", 600, 610, None, wait=4, end_to_end=620)

    *_, payment, shipping = analyse(recorder.result("a")).hops

    # Of 476 ms, the first attempt ends after at most 6, and the last one starts after 416.
    assert payment.retry == distribution([410 * MS])
    assert payment.processing == distribution([66 * MS])
    assert (None, distribution([620 * MS])) == (shipping.retry, shipping.end_to_end)
