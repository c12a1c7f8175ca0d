"""A group that works off history is seen from outside, and is no lag of the flow."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from math import inf
from typing import Any, Final

import pytest
from rich.console import Console

from tracing.cli.lag_check import LagCheck
from tracing.cli.lag_figures import described, figures_of
from tracing.cli.lag_output import print_sweep
from tracing.kafka.topic_ids import Log
from tracing.lag import CatchUp, GroupLag, PartitionLag, RetentionUse, Status, Sweep, Velocity
from tracing.lag.catch_up import Births, CatchUps, Seen, catch_up
from tracing.lag.gauges import LagGauges
from tracing.lag.status import with_history
from tracing.metrics.instruments import metrics_on
from tracing.testing import Capture

LOG: Final = Log("orders", "id", 0)
MOVING: Final = Velocity(inflow=1.0, commits=50.0, moving=True, catch_up_s=40.0)
HALTED: Final = Velocity(inflow=1.0, commits=0.0, moving=False, catch_up_s=inf)


def seen(committed: int | None, **changes: Any) -> Seen:
    """See a group for the first time, behind by an hour, on a log that ends at 100."""
    before = Seen(
        committed=committed, counted_from=0, end=100, marked=None, lag_s=3600.0, absent_s=10.0
    )
    return replace(before, **changes)


def until(*sweeps: Seen) -> list[int | None]:
    catch_ups = CatchUps()
    return [catch_ups.until("late", LOG, sweep) for sweep in sweeps]


@pytest.mark.parametrize(
    ("sweeps", "expected"),
    [
        pytest.param([seen(3)], [100], id="the group is new"),
        pytest.param([seen(3), seen(50, end=200), seen(100, end=200)], [100, 100, None],
                     id="it reaches the end that the log had then"),
        pytest.param([seen(3, absent_s=None)], [None], id="it may have been there before"),
        pytest.param([seen(3, lag_s=14.0)], [None], id="it began with the flow"),
        pytest.param([seen(3, lag_s=16.0)], [100], id="the record was there before it"),
        pytest.param([seen(3, lag_s=None)], [None], id="how old its record is, is unknown"),
        pytest.param([seen(100)], [None], id="it has committed everything"),
        pytest.param([seen(None, counted_from=80), seen(3, end=200)], [None, 80],
                     id="it had a partition before it committed"),
        pytest.param([seen(3, marked=60, absent_s=None)], [60], id="its commit says so"),
        pytest.param([seen(3, marked=60), seen(61)], [60, None], id="its commit knows better"),
        pytest.param([seen(3, marked=600)], [None], id="its commit is of an earlier topic"),
        pytest.param([seen(90, absent_s=None), seen(3, absent_s=None), seen(89), seen(91)],
                     [None, 90, 90, None], id="its offset was set back"),
        pytest.param([seen(90, absent_s=None), seen(3, end=10, absent_s=None)], [None, None],
                     id="its topic was created again"),
    ],
)  # fmt: skip
def test_what_a_group_catches_up_to(sweeps: list[Seen], expected: list[int | None]) -> None:
    assert expected == until(*sweeps)


def test_what_is_gone_is_forgotten() -> None:
    catch_ups = CatchUps()
    catch_ups.until("late", LOG, seen(3))
    catch_ups.keep({("late", LOG)})
    assert 100 == catch_ups.until("late", LOG, seen(4, absent_s=None))
    catch_ups.keep(set())

    assert catch_ups.until("late", LOG, seen(4, absent_s=None)) is None


@pytest.mark.parametrize(
    ("velocity", "rate", "left_s"), [(None, None, None), (MOVING, 50.0, 2.0), (HALTED, 0.0, inf)]
)
def test_the_time_left_is_that_to_the_end_of_the_history(
    velocity: Velocity | None, rate: float | None, left_s: float | None
) -> None:
    assert CatchUp(200, 100, rate, left_s) == catch_up(200, 100, velocity)


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (None, Status.CATCHING_UP),
        (Status.OK, Status.CATCHING_UP),
        (Status.LAGGING, Status.CATCHING_UP),
        (Status.STALLED, Status.STALLED),
        (Status.DEAD, Status.DEAD),
        (Status.ABANDONED, Status.ABANDONED),
    ],
)
def test_a_group_that_does_not_move_is_late_for_another_reason(
    status: Status | None, shown: Status
) -> None:
    assert (shown, status) == (
        with_history(status, CatchUp(100, 90, None, None)),
        with_history(status, None),
    )


PART: Final = PartitionLag(
    "orders", 0, 10, 200, 190, 3600.0, True, True, Status.CATCHING_UP,
    retention=RetentionUse(0.99, 10.0), velocity=MOVING, catch_up=CatchUp(100, 90, 50.0, 1.8),
)  # fmt: skip
GROUP: Final = GroupLag("late", "Stable", 1, (PART,), Status.CATCHING_UP)
SWEEP: Final = Sweep(0.0, 0.1, (GROUP,))


def test_history_is_lag_in_records_and_not_in_seconds() -> None:
    stopped = replace(GROUP, partitions=(replace(PART, status=Status.DEAD),))

    assert (190, 0.0, 3600.0) == (GROUP.lag, GROUP.lag_s, stopped.lag_s)


def test_alerts_see_no_lag_in_seconds_and_no_retention_of_history(capture: Capture) -> None:
    gauges = LagGauges(metrics_on(capture.meter_provider, None), partitions=True, max_series=10)
    gauges.start()
    gauges.show(SWEEP, valid_s=60)

    assert (190, 0.0, 40.0, None) == tuple(
        capture.metric(f"pipeline.consumer.{name}")
        for name in ("lag", "lag.time", "catch_up.time", "retention.used")
    )


def test_a_check_of_lag_passes_while_a_group_works_off_history() -> None:
    stopped = replace(GROUP, partitions=(replace(PART, status=Status.STALLED),))

    assert LagCheck.of(SWEEP, 60).passed
    assert {"late": 3600.0} == LagCheck.of(replace(SWEEP, groups=(stopped,)), 60).over


@pytest.mark.parametrize(
    ("left_s", "shown", "in_json"),
    [(None, "90", None), (1.8, "90, 1.8 s", 1.8), (inf, "90, never done", "never")],
)
def test_the_table_and_json_show_what_is_left(
    left_s: float | None, shown: str, in_json: object
) -> None:
    part = replace(PART, catch_up=CatchUp(100, 90, 50.0, left_s))
    cell = figures_of([part]).numbers["history left"]

    assert shown == str(cell([part]))
    assert {"until": 100, "remaining": 90, "rate": 50.0, "left_s": in_json} == described(part)[
        "catch_up"
    ]


def births(*sweeps: tuple[set[str], bool]) -> list[float | None]:
    """Return how long ago the group `late` did not exist, after sweeps at 10 s, 20 s, ..."""
    memory = Births()
    found = []
    for number, (existing, complete) in enumerate(sweeps, 1):
        memory.observe(10.0 * number, frozenset(existing), complete=complete)
        found.append(memory.absent_s("late", 10.0 * number + 1))
    return found


@pytest.mark.parametrize(
    ("sweeps", "expected"),
    [
        pytest.param([({"late"}, True)] * 2, [None, None], id="it was always there"),
        pytest.param([(set(), True), ({"late"}, True), ({"late"}, True)], [None, 11.0, 21.0],
                     id="it came"),
        pytest.param([(set(), False), ({"late"}, True)], [None, None], id="it was perhaps there"),
        pytest.param([(set(), True), ({"late"}, True), (set(), True), ({"late"}, True)],
                     [None, 11.0, None, 11.0], id="it came again"),
        pytest.param([(set(), True), ({"late"}, True), (set(), False), ({"late"}, True)],
                     [None, 11.0, 21.0, 31.0], id="it was not seen once"),
    ],
)  # fmt: skip
def test_a_group_is_new_since_the_last_sweep_without_it(
    sweeps: list[tuple[set[str], bool]], expected: list[float | None]
) -> None:
    assert expected == births(*sweeps)


def test_the_table_says_that_a_group_is_catching_up() -> None:
    text = StringIO()
    print_sweep(SWEEP, Console(file=text, width=200), each=True)
    (row,) = [line for line in text.getvalue().splitlines() if "orders" in line]

    assert "catching up" in row
    assert "190" in row
    assert "90, 1.8 s" in row
    assert "catching up: the group started on history, which is no lag of the flow" in (
        text.getvalue()
    )
