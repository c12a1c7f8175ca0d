"""The causes of lag, from what is visible outside the group."""

from __future__ import annotations

from math import inf

import pytest

from tracing.lag import Cause, PartitionLag, Status
from tracing.lag.causes import Rebalances, cause_of, partition_cause
from tracing.lag.velocity import Velocity

SLOW = Velocity(10.0, 5.0, True, inf)
HANGS = Velocity(10.0, 5.0, False, inf)
FALLING = Velocity(10.0, 20.0, True, 40.0)
PAUSED = Velocity(0.0, 5.0, True, inf)


@pytest.mark.parametrize(
    ("status", "members", "assigned", "rebalancing", "velocity", "cause"),
    [
        (Status.OK, 0, False, False, None, None),
        (Status.ABANDONED, 2, False, True, None, None),
        (Status.DEAD, 0, False, False, None, Cause.NO_MEMBERS),
        (None, 0, False, False, None, Cause.NO_MEMBERS),
        (Status.LAGGING, 0, False, True, SLOW, Cause.NO_MEMBERS),
        (Status.LAGGING, 2, None, True, SLOW, Cause.REBALANCING),
        (None, 2, None, True, None, Cause.REBALANCING),
        (Status.DEAD, 2, False, False, None, Cause.NO_MEMBERS),
        (Status.STALLED, 2, True, False, None, Cause.STALLED_COMMITS),
        (Status.STALLED, None, None, False, None, Cause.STALLED_COMMITS),
        (Status.LAGGING, 2, True, False, HANGS, Cause.STALLED_COMMITS),
        (Status.LAGGING, 2, True, False, SLOW, Cause.INFLOW_ABOVE_CAPACITY),
        (Status.LAGGING, None, None, False, SLOW, Cause.INFLOW_ABOVE_CAPACITY),
        (Status.LAGGING, 2, True, False, PAUSED, None),
        (Status.LAGGING, 2, True, False, FALLING, None),
        (Status.LAGGING, 2, True, False, None, None),
        (None, 2, True, False, SLOW, None),
    ],
)
def test_the_rules(
    status: Status | None,
    members: int | None,
    assigned: bool | None,
    rebalancing: bool,
    velocity: Velocity | None,
    cause: Cause | None,
) -> None:
    assert cause is partition_cause(
        status, members=members, assigned=assigned, rebalancing=rebalancing, velocity=velocity
    )


def part(
    number: int, status: Status | None, cause: Cause | None, lag: int = 5, topic: str = "orders"
) -> PartitionLag:
    return PartitionLag(topic, number, 0, lag, lag, 1.0, True, True, status, cause=cause)


FINE = [part(number, Status.OK, None, 0) for number in (1, 2)]
STALLED = part(0, Status.STALLED, Cause.STALLED_COMMITS)


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ([], None),
        (FINE, None),
        ([STALLED, *FINE], Cause.ONE_PARTITION),
        ([STALLED], Cause.STALLED_COMMITS),
        ([STALLED, part(1, None, None, 0)], Cause.STALLED_COMMITS),
        ([STALLED, part(0, Status.OK, None, topic="other")], Cause.STALLED_COMMITS),
        ([STALLED, part(1, Status.STALLED, Cause.STALLED_COMMITS)], Cause.STALLED_COMMITS),
        ([part(0, Status.DEAD, Cause.NO_MEMBERS), *FINE], Cause.NO_MEMBERS),
        ([part(0, Status.LAGGING, Cause.REBALANCING), *FINE], Cause.REBALANCING),
        (
            [part(0, Status.LAGGING, Cause.INFLOW_ABOVE_CAPACITY, 999),
             part(1, Status.STALLED, Cause.STALLED_COMMITS, 3)],
            Cause.STALLED_COMMITS,
        ),
    ],
)  # fmt: skip
def test_the_cause_of_a_group_is_that_of_its_worst_partition_or_one_partition(
    parts: list[PartitionLag], cause: Cause | None
) -> None:
    assert cause is cause_of(parts)


def test_a_group_rebalances_if_it_does_most_of_the_time() -> None:
    rebalances = Rebalances(10.0)
    states = ["PreparingRebalance", "Stable", "Reconciling", "Stable", "Stable", "Stable"]
    seen = [rebalances.observe("g", float(at), state) for at, state in enumerate(states)]
    # The window leaves the first ones behind.
    later = [rebalances.observe("g", 12.0 + at, "Assigning") for at in range(4)]

    assert [True, True, True, True, False, False] == seen
    assert [False, False, True, True] == later
    assert not rebalances.observe("other", 12.0, "Empty")


def test_forgotten_groups_start_anew() -> None:
    rebalances = Rebalances(10.0)
    rebalances.observe("g", 0.0, "CompletingRebalance")
    rebalances.forget_before(1.0)

    assert not rebalances.observe("g", 2.0, "Stable")
