"""Shares of a topic's inflow, and which partitions are hot."""

from __future__ import annotations

import random

import pytest

from tracing.kafka.topic_ids import Log
from tracing.lag.inflow import Inflows, InflowShare, shares_of


def log(number: int) -> Log:
    return Log("orders", None, number)


def hot(*counts: int | tuple[int, int]) -> list[int]:
    """Return the hot partitions, from records in each half of the window."""
    halves = [count if isinstance(count, tuple) else (count, count) for count in counts]
    shares = shares_of({log(number): half for number, half in enumerate(halves)})
    return [each.partition for each, share in shares.items() if share.hot]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((1000, 1000, 1000, 1000), []),
        ((2000, 1000, 1000, 1000), []),
        ((9000, 1000, 1000, 1000), [0]),
        ((1000, 740), []),
        ((1000, 200), [0]),
        ((300, *[100] * 99), []),
        ((310, *[100] * 98), [0]),
        ((400, 400, *[50] * 10), [0, 1]),
        # Too few to tell from chance.
        ((2, 0, 0), []),
        # One key of a topic with little traffic.
        ((15, *[0] * 99), [0]),
        # A batch of a producer that fills one partition after another.
        (((9000, 0), (0, 9000), (0, 0)), []),
        (((9000, 100), (100, 100), (100, 100)), []),
        ((5000,), []),
        ((0, 0), []),
        ((), []),
    ],
)
def test_far_more_than_an_even_share_is_hot(
    counts: tuple[int | tuple[int, int], ...], expected: list[int]
) -> None:
    assert expected == hot(*counts)


@pytest.mark.parametrize("partitions", [2, 3, 6, 24, 100])
@pytest.mark.parametrize("records", [3, 30, 300, 3000])
def test_records_that_are_spread_at_random_make_no_partition_hot(
    partitions: int, records: int
) -> None:
    chance = random.Random(partitions * records)
    for _ in range(20):
        counts = [[0, 0] for _ in range(partitions)]
        for _ in range(records):
            counts[chance.randrange(partitions)][chance.randrange(2)] += 1
        assert [] == hot(*((before, after) for before, after in counts))


def test_shares_are_known_after_half_a_window_and_a_new_topic_starts_anew() -> None:
    inflows = Inflows(10.0)
    existing = {log(0), log(1)}

    def observe(at: int, first: int, second: int) -> dict[Log, InflowShare]:
        return inflows.observe(float(at), {log(0): first, log(1): second}, existing)

    known = [observe(at, 90 * at, 10 * at + 7) for at in range(11)]

    assert [{}] * 5 == known[:5]
    assert {log(0): InflowShare(0.9, True), log(1): InflowShare(0.1, False)} == known[10]
    assert {} == observe(11, 0, 0)


def test_deleted_partitions_are_forgotten() -> None:
    inflows = Inflows(10.0)
    for at in range(11):
        inflows.observe(float(at), {log(0): 100 * at, log(1): 100 * at}, {log(0), log(1)})
    inflows.observe(11.0, {log(0): 1100}, {log(0)})
    again = inflows.observe(12.0, {log(0): 1200, log(1): 1200}, {log(0), log(1)})

    assert {} == again
