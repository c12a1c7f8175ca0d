"""Sweeps as gauges: labels, limits, and the end of each series."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import pytest

from tracing import Telemetry
from tracing.lag import (
    Cause,
    DeadLetterDepth,
    GroupLag,
    PartitionLag,
    RetentionUse,
    Status,
    Sweep,
    Velocity,
)
from tracing.lag.gauges import LagGauges
from tracing.testing import Capture

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP = "messaging.consumer.group.name"
TOPIC = "messaging.destination.name"
PARTITION = "messaging.destination.partition.id"
LAG = "pipeline.consumer.lag"
TIME = "pipeline.consumer.lag.time"
STATUS = "pipeline.consumer.status"
DEPTH = "pipeline.dead_letters.depth"
AGE = "pipeline.dead_letters.oldest_age"
ABANDONED = "pipeline.consumer.abandoned"
USED = "pipeline.consumer.retention.used"
LEFT = "pipeline.consumer.retention.left"
LOST = "pipeline.consumer.lost"
CATCH_UP = "pipeline.consumer.catch_up.time"
CAUSE = "pipeline.consumer.cause"
YEAR_S = 365 * 86_400


def part(
    topic: str, partition: int, lag: int, lag_s: float | None, status: Status | None = None
) -> PartitionLag:
    return PartitionLag(topic, partition, 0, lag, lag, lag_s, True, True, status)


PARTS = (part("orders", 0, 5, 50.0), part("orders", 1, 7, None), part("refunds", 0, 0, 0.0))
SWEEP = Sweep(0.0, 0.1, (GroupLag("payment", "Stable", 1, PARTS, Status.LAGGING),))


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture("lag") as capture:
        yield capture


def gauges(capture: Capture, *, partitions: bool = True, max_series: int = 100) -> LagGauges:
    metrics = Telemetry("lag", meter_provider=capture.meter_provider).metrics
    gauges = LagGauges(metrics, partitions=partitions, max_series=max_series)
    gauges.start()
    return gauges


def test_each_partition_has_its_series_and_an_unknown_value_has_none(capture: Capture) -> None:
    gauges(capture).show(SWEEP, valid_s=60)

    first = {GROUP: "payment", TOPIC: "orders", PARTITION: "0"}
    second = {**first, PARTITION: "1"}
    assert [5, 7] == [capture.metric(LAG, labels) for labels in (first, second)]
    assert [50.0, None] == [capture.metric(TIME, labels) for labels in (first, second)]


def test_series_by_topic_sum_up_partitions(capture: Capture) -> None:
    gauges(capture, partitions=False).show(SWEEP, valid_s=60)

    assert 12 == capture.metric(LAG, {GROUP: "payment", TOPIC: "orders"})
    assert 50.0 == capture.metric(TIME, {GROUP: "payment", TOPIC: "orders"})
    assert capture.metric(LAG, {PARTITION: "0"}) is None


def statuses(capture: Capture) -> set[str]:
    """Return the statuses that are reported as 1, if each of the others is reported as 0."""
    values = {
        status: capture.metric(STATUS, {GROUP: "payment", "status": status})
        for status in (*Status, "unknown")
    }
    assert set(values.values()) <= {0, 1}, values
    return {status for status, value in values.items() if value}


def test_one_status_is_1_and_the_others_are_0(capture: Capture) -> None:
    gauges(capture).show(SWEEP, valid_s=60)

    assert {"lagging"} == statuses(capture)


UNDECIDED = replace(SWEEP, groups=(replace(SWEEP.groups[0], status=None),))
SILENT = replace(SWEEP, groups=(), silent=("payment",))


@pytest.mark.parametrize("without", [UNDECIDED, SILENT], ids=["undecided", "silent"])
def test_a_status_that_is_no_longer_known_is_unknown_once_the_last_one_is_too_old(
    capture: Capture, without: Sweep
) -> None:
    shown = gauges(capture)
    for valid_s, expected in ((60, "lagging"), (-1, "unknown")):
        shown.show(SWEEP, valid_s=valid_s)
        shown.show(without, valid_s=60)

        assert {expected} == statuses(capture)


def test_every_status_is_unknown_while_no_broker_answers(capture: Capture) -> None:
    shown = gauges(capture)
    for valid_s, expected in ((60, "lagging"), (-1, "unknown")):
        shown.show(SWEEP, valid_s=valid_s)
        shown.unreachable(valid_s=60)

        assert {expected} == statuses(capture)
    assert capture.metric(LAG) is None


@pytest.mark.parametrize("without", [UNDECIDED, SILENT], ids=["undecided", "silent"])
def test_a_status_that_was_never_known_has_no_series(capture: Capture, without: Sweep) -> None:
    # A monitor that has just started would hide what the one before it knew.
    gauges(capture).show(without, valid_s=60)

    assert capture.metric(STATUS) is None


def test_a_group_that_was_deleted_has_no_status(capture: Capture) -> None:
    shown = gauges(capture)
    shown.show(SWEEP, valid_s=60)
    shown.show(replace(SWEEP, groups=()), valid_s=60)

    assert capture.metric(STATUS) is None


def test_deleted_groups_and_old_sweeps_have_no_series(capture: Capture) -> None:
    shown = gauges(capture)
    shown.show(SWEEP, valid_s=60)
    assert 12 == capture.metric(LAG)
    shown.show(replace(SWEEP, groups=()), valid_s=60)
    assert capture.metric(LAG) is None
    shown.show(SWEEP, valid_s=-1)
    assert capture.metric(LAG) is None
    shown.show(SWEEP, valid_s=60)
    shown.end()
    assert capture.metric(LAG) is None


def test_of_too_many_series_the_most_urgent_stay_and_the_others_share_one(capture: Capture) -> None:
    many = tuple(part("orders", number, number, float(number)) for number in range(10))
    group = GroupLag("payment", "Stable", 1, many, None)
    gauges(capture, max_series=3).show(replace(SWEEP, groups=(group,)), valid_s=60)

    assert 45 == capture.metric(LAG)
    assert 9 + 8 + 7 == capture.metric(LAG, {TOPIC: "orders"})
    assert 6.0 == capture.metric(TIME, {GROUP: "_OTHER", TOPIC: "_OTHER"})
    assert 7 == capture.metric("pipeline.telemetry.dropped", {"reason": "lag_series"})


@pytest.mark.parametrize("by_partition", [True, False])
def test_abandoned_partitions_have_their_own_gauge_and_are_not_lag(
    capture: Capture, by_partition: bool
) -> None:
    abandoned = (
        part("old", 0, 3, 900.0, Status.ABANDONED),
        part("old", 1, 4, 800.0, Status.ABANDONED),
        part("orders", 0, 5, 50.0, Status.OK),
    )
    group = GroupLag("payment", "Stable", 1, abandoned, Status.OK)
    gauges(capture, partitions=by_partition).show(replace(SWEEP, groups=(group,)), valid_s=60)

    assert 7 == capture.metric(ABANDONED, {GROUP: "payment", TOPIC: "old"})
    assert capture.metric(ABANDONED, {TOPIC: "orders"}) is None
    assert (5, 50.0) == (capture.metric(LAG), capture.metric(TIME))
    assert (5, 50.0) == (group.lag, group.lag_s)


def test_too_many_abandoned_topics_share_a_series(capture: Capture) -> None:
    many = tuple(part(f"old-{number}", 0, number, 1.0, Status.ABANDONED) for number in range(10))
    group = GroupLag("payment", "Stable", 1, many, Status.ABANDONED)
    gauges(capture, max_series=3).show(replace(SWEEP, groups=(group,)), valid_s=60)

    assert 45 == capture.metric(ABANDONED)
    assert 21 == capture.metric(ABANDONED, {GROUP: "_OTHER", TOPIC: "_OTHER"})
    assert (0, 0.0) == (group.lag, group.lag_s)


def test_clock_skew_is_counted(capture: Capture) -> None:
    shown = gauges(capture)
    for _ in range(2):
        shown.show(replace(SWEEP, clock_skews=3), valid_s=60)

    assert 6 == capture.metric("pipeline.clock_skew", {"reason": "lag"})


def test_dead_letters_are_reported_by_topic_and_group(capture: Capture) -> None:
    dead_letters = (
        DeadLetterDepth("a.dlq", "orders", "payment", 3, 10.0),
        DeadLetterDepth("b.dlq", "orders", "payment", 4, 20.0),
        DeadLetterDepth("c.dlq", "c.dlq", None, 1, None),
    )
    gauges(capture).show(replace(SWEEP, dead_letters=dead_letters), valid_s=60)

    assert 7 == capture.metric(DEPTH, {TOPIC: "orders", GROUP: "payment"})
    assert 20.0 == capture.metric(AGE, {TOPIC: "orders", GROUP: "payment"})
    assert 1 == capture.metric(DEPTH, {TOPIC: "c.dlq"})
    assert capture.metric(AGE, {TOPIC: "c.dlq"}) is None


def outlook(
    partition: int,
    use: RetentionUse | None,
    catch_up_s: float | None,
    lost: int = 0,
    topic: str = "orders",
) -> PartitionLag:
    velocity = None if catch_up_s is None else Velocity(1.0, 2.0, True, catch_up_s)
    return replace(part(topic, partition, 5, 50.0), retention=use, velocity=velocity, lost=lost)


OUTLOOK = (
    outlook(0, RetentionUse(0.9, 10.0), 60.0, lost=3),
    outlook(1, RetentionUse(0.4, None), inf, lost=4),
    outlook(2, None, None),
)


def swept(*parts: PartitionLag, cause: Cause | None = None) -> Sweep:
    return Sweep(0.0, 0.1, (GroupLag("payment", "Stable", 1, parts, Status.LAGGING, cause),))


def test_each_partition_has_its_outlook_and_an_unknown_value_has_no_series(
    capture: Capture,
) -> None:
    gauges(capture).show(swept(*OUTLOOK), valid_s=60)

    labels = [{GROUP: "payment", TOPIC: "orders", PARTITION: number} for number in "012"]
    assert [0.9, 0.4, None] == [capture.metric(USED, each) for each in labels]
    assert [10.0, None, None] == [capture.metric(LEFT, each) for each in labels]
    assert [60.0, YEAR_S, None] == [capture.metric(CATCH_UP, each) for each in labels]
    assert [3, 4, 0] == [capture.metric(LOST, each) for each in labels]


def test_the_outlook_of_a_topic_is_that_of_its_worst_partition(capture: Capture) -> None:
    gauges(capture, partitions=False).show(swept(*OUTLOOK), valid_s=60)

    labels = {GROUP: "payment", TOPIC: "orders"}
    assert (0.9, 10.0, YEAR_S, 7) == tuple(
        capture.metric(name, labels) for name in (USED, LEFT, CATCH_UP, LOST)
    )


def test_of_too_many_outlooks_the_worst_stay_and_the_others_share_one(capture: Capture) -> None:
    many = tuple(
        outlook(number, RetentionUse(number / 10, 100.0 - number), float(number), lost=1)
        for number in range(10)
    )
    gauges(capture, max_series=3).show(swept(*many), valid_s=60)

    other = {GROUP: "_OTHER", TOPIC: "_OTHER"}
    assert 0.9 == capture.metric(USED, {PARTITION: "9"})
    assert (0.6, 94.0, 6.0, 7) == tuple(
        capture.metric(name, other) for name in (USED, LEFT, CATCH_UP, LOST)
    )
    assert 10 == capture.metric(LOST)


def test_losses_add_up_over_sweeps_and_end_with_their_group(capture: Capture) -> None:
    shown = gauges(capture)
    for lost in (0, 3, 3, 5):
        shown.show(swept(outlook(0, None, None, lost=lost)), valid_s=60)

    assert 5 == capture.metric(LOST)
    shown.show(swept(), valid_s=60)
    assert capture.metric(LOST) is None


def test_abandoned_partitions_have_no_outlook(capture: Capture) -> None:
    left = replace(OUTLOOK[0], status=Status.ABANDONED)
    gauges(capture).show(swept(left), valid_s=60)

    assert [None] * 4 == [capture.metric(name) for name in (USED, LEFT, CATCH_UP, LOST)]


def test_one_cause_is_1(capture: Capture) -> None:
    gauges(capture).show(swept(*OUTLOOK, cause=Cause.ONE_PARTITION), valid_s=60)

    assert {
        "no_members": 0, "rebalancing": 0, "stalled_commits": 0, "one_partition": 1,
        "inflow_above_capacity": 0, "replaced": 0,
    } == {
        cause: capture.metric(CAUSE, {GROUP: "payment", "cause": cause}) for cause in Cause
    }  # fmt: skip
