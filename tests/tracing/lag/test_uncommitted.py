"""What a group reads and has not committed, also after its last member is gone."""

from __future__ import annotations

from aiokafka.structs import TopicPartition

from tracing.kafka.groups import Group
from tracing.kafka.topic_ids import Log
from tracing.lag.uncommitted import Uncommitted

LOG = Log("orders", "first", 0)
FIRST, SECOND = TopicPartition("orders", 0), TopicPartition("orders", 1)
RUNNING = Group("payment", 1, "Stable", 1, frozenset({FIRST, SECOND}), frozenset({"orders"}))
EMPTY = Group("payment", 1, "Empty", 0, frozenset(), frozenset())


def test_the_last_assignment_counts_while_a_group_is_empty_or_rebalances() -> None:
    uncommitted = Uncommitted()
    joining = Group("payment", 1, "PreparingRebalance", 1)

    assert {FIRST, SECOND} == uncommitted.of(RUNNING, ())
    assert {FIRST, SECOND} == uncommitted.of(EMPTY, ())
    assert {FIRST, SECOND} == uncommitted.of(joining, ())
    assert {SECOND} == uncommitted.of(EMPTY, {FIRST: 5})


def test_a_new_assignment_replaces_the_last_one() -> None:
    uncommitted = Uncommitted()
    uncommitted.of(RUNNING, ())
    moved = Group("payment", 1, "Stable", 1, frozenset({SECOND}), frozenset({"orders"}))

    assert {SECOND} == uncommitted.of(moved, ())
    assert {SECOND} == uncommitted.of(EMPTY, ())


def test_nothing_is_known_of_a_group_that_was_never_seen_with_members() -> None:
    assert not Uncommitted().of(EMPTY, ())


def test_a_group_that_may_not_exist_reads_nothing() -> None:
    uncommitted = Uncommitted()
    uncommitted.of(RUNNING, ())

    assert not uncommitted.of(Group("payment", 1), ())
    assert {FIRST, SECOND} == uncommitted.of(EMPTY, ())


def test_a_forgotten_group_comes_back_without_its_past() -> None:
    uncommitted = Uncommitted()
    uncommitted.of(RUNNING, ())
    uncommitted.count_from("payment", LOG, 7)
    uncommitted.keep(["inventory"], [LOG])

    assert not uncommitted.of(EMPTY, ())
    assert 9 == uncommitted.count_from("payment", LOG, 9)


def test_lag_counts_from_the_first_sight_until_a_commit_or_a_new_log() -> None:
    uncommitted = Uncommitted()

    assert 7 == uncommitted.count_from("payment", LOG, 7)
    uncommitted.keep(["payment"], [LOG])
    assert 7 == uncommitted.count_from("payment", LOG, 9)
    uncommitted.committed("payment", LOG)
    assert 9 == uncommitted.count_from("payment", LOG, 9)
    uncommitted.keep(["payment"], [])
    assert 0 == uncommitted.count_from("payment", LOG, 0)
