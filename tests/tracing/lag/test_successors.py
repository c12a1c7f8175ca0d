"""A group that another one of its application has replaced is no outage; a killed one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tracing.kafka.groups import Group
from tracing.lag.catch_up import Births
from tracing.lag.successors import Reader, Successors

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY_S = 86_400


def reader(
    name: str, *, client: str | None, topics: Iterable[str] = ("orders",), offsets: bool = True
) -> Reader:
    """Return a group with one member that has a client id, or without members."""
    read = frozenset(topics)
    if client is None:
        return Reader(Group(name, 1, "Empty", 0, frozenset(), frozenset()), read)
    group = Group(name, 1, "Stable", 1, frozenset(), read, frozenset({client}))
    return Reader(group, read if offsets else frozenset())


class Monitor:
    """Sweeps at given moments; knows when each group came, as long as it watches."""

    def __init__(self) -> None:
        self.successors = Successors()
        self.births = Births()

    def sweep(self, at: float, *readers: Reader, complete: bool = True) -> dict[str, str]:
        existing = frozenset(each.group.name for each in readers)
        self.births.observe(at, existing, complete=complete)
        return self.successors.observe(at, readers, self.births.absent_at, complete=complete)


OLD = reader("old", client="payment")
LEFT = reader("old", client=None)
NEW = reader("new", client="payment")


def test_a_renamed_group_is_replaced_at_once_whether_or_not_both_ran_together() -> None:
    for together in ([LEFT], [OLD, NEW]):
        monitor = Monitor()
        assert {} == monitor.sweep(0, OLD)
        assert {} == monitor.sweep(5, *together)
        assert {"old": "new"} == monitor.sweep(10, LEFT, NEW)


def test_a_killed_group_is_not_replaced_by_what_was_there_before_it() -> None:
    monitor = Monitor()
    monitor.sweep(0, OLD, NEW)

    assert {} == monitor.sweep(5, LEFT, NEW)


def test_a_killed_group_is_not_replaced_by_one_that_came_before_it() -> None:
    monitor = Monitor()
    monitor.sweep(0)
    monitor.sweep(5, NEW)
    monitor.sweep(10, OLD, NEW)

    assert {} == monitor.sweep(15, LEFT, NEW)


def test_what_the_monitor_did_not_see_running_may_have_been_killed() -> None:
    monitor = Monitor()
    monitor.sweep(0, LEFT)

    assert {} == monitor.sweep(5, LEFT, NEW)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(reader("new", client="fraud"), id="of another application"),
        pytest.param(reader("new", client="payment", topics=["refunds"]), id="of another topic"),
        pytest.param(reader("new", client=None), id="without members"),
    ],
)
def test_a_killed_group_is_not_replaced_by_a_group_that_came_then(other: Reader) -> None:
    monitor = Monitor()
    monitor.sweep(0, OLD)

    assert {} == monitor.sweep(5, LEFT, other)


@pytest.mark.parametrize(
    "client",
    [
        "", "aiokafka-0.14.0", "console-consumer", "console-producer", "console-share-consumer",
        "consumer-payment-1", "kafka-node-client", "kafka-python-2.2", "kafkajs", "kgo",
        "no-kafka-client", "pykafka", "rdkafka", "rskafka", "ruby-kafka", "sarama",
    ],
)  # fmt: skip
def test_the_name_of_a_client_library_is_no_application(client: str) -> None:
    monitor = Monitor()
    monitor.sweep(0, reader("old", client=client))

    assert {} == monitor.sweep(5, LEFT, reader("new", client=client))


def test_two_groups_that_ran_side_by_side_for_a_day_are_both_in_use() -> None:
    for last, replaced in ((DAY_S - 1, {"old": "new"}), (DAY_S, {})):
        monitor = Monitor()
        monitor.sweep(0, OLD)
        monitor.sweep(last, OLD, NEW)

        assert replaced == monitor.sweep(last + 5, LEFT, NEW)


@pytest.mark.parametrize(("gap_s", "replaced"), [(3599, {"old": "new"}), (3600, {}), (DAY_S, {})])
def test_a_group_that_comes_long_after_an_outage_does_not_end_it(
    gap_s: float, replaced: dict[str, str]
) -> None:
    monitor = Monitor()
    monitor.sweep(0, OLD)
    monitor.sweep(gap_s, LEFT)

    assert replaced == monitor.sweep(gap_s + 5, LEFT, NEW)


def test_a_killed_group_is_not_replaced_by_one_that_a_sweep_has_missed() -> None:
    monitor = Monitor()
    monitor.sweep(0, OLD, NEW)
    monitor.sweep(5, OLD)
    monitor.sweep(10, OLD, NEW)

    assert {} == monitor.sweep(15, LEFT, NEW)


def test_a_group_that_a_sweep_has_missed_still_has_its_successor() -> None:
    for missing in ([NEW], [LEFT], []):
        monitor = Monitor()
        monitor.sweep(0, OLD)
        monitor.sweep(5, LEFT, NEW)
        monitor.sweep(2 * DAY_S, LEFT, NEW)
        monitor.sweep(2 * DAY_S + 5, *missing)

        assert {"old": "new"} == monitor.sweep(2 * DAY_S + 10, LEFT, NEW)


def test_a_name_that_was_free_for_a_day_is_that_of_another_group() -> None:
    monitor = Monitor()
    monitor.sweep(0, OLD, NEW)
    monitor.sweep(5, OLD)
    monitor.sweep(5 + DAY_S, OLD)

    assert {"old": "new"} == monitor.sweep(10 + DAY_S, LEFT, NEW)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(reader("new", client="payment", topics=["refunds"]), id="other topics"),
        pytest.param(reader("new", client=None, topics=["refunds"]), id="no members"),
        pytest.param(reader("new", client=None, topics=()), id="neither members nor offsets"),
    ],
)
def test_a_successor_that_no_longer_reads_the_topics_leaves_an_outage(later: Reader) -> None:
    monitor = Monitor()
    monitor.sweep(0, OLD)
    assert {"old": "new"} == monitor.sweep(5, LEFT, NEW)

    assert {} == monitor.sweep(10, LEFT, later)


def test_a_group_with_new_members_or_without_its_successor_is_no_longer_replaced() -> None:
    for after in ([OLD, NEW], [LEFT]):
        monitor = Monitor()
        monitor.sweep(0, OLD)
        monitor.sweep(5, LEFT, NEW)

        assert {} == monitor.sweep(10, *after)


def test_a_successor_that_restarts_or_is_not_answered_for_stays_the_successor() -> None:
    monitor = Monitor()
    monitor.sweep(0, OLD)
    monitor.sweep(5, LEFT, NEW)

    assert {"old": "new"} == monitor.sweep(10, LEFT, reader("new", client=None))
    assert {"old": "new"} == monitor.sweep(15, LEFT, complete=False)


def test_a_group_that_left_no_offsets_has_no_successor() -> None:
    monitor = Monitor()
    monitor.sweep(0, OLD)

    assert {} == monitor.sweep(5, reader("old", client=None, topics=()), NEW)
