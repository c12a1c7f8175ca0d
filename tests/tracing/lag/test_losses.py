"""Records that were deleted before they were committed: no false alarms, each counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

from tracing.kafka.groups import Group, GroupCommits
from tracing.lag import GroupLag, PartitionLag, Sweep, counters
from tracing.lag.counters import LossCounter
from tracing.lag.losses import Losses
from tracing.lag.oldest import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

TP = TopicPartition("orders", 0)
GROUP = Group("payment", 1)


class Commits:
    """Answers with the committed offsets that a group has by now."""

    def __init__(self, *answers: Mapping[TopicPartition, int] | None) -> None:
        self.answers = list(answers)

    async def commits(self, group: Group) -> GroupCommits | None:
        assert GROUP == group
        answer = self.answers.pop(0)
        return None if answer is None else GroupCommits(1.0, dict(answer), {})


async def find(losses: Losses, committed: int, start: int) -> int | None:
    lost = await losses.find([(GROUP, {TP: committed})], {TP: start})
    return lost.get(("payment", TP))


def losses(*answers: Mapping[TopicPartition, int] | None) -> Losses:
    groups: Any = Commits(*answers)
    return Losses(groups)


async def test_a_log_that_starts_after_the_committed_offset_is_a_loss() -> None:
    assert 3 == await find(losses({TP: 5}), 5, 8)


@pytest.mark.parametrize("start", [0, 4, 5])
async def test_a_log_that_starts_at_or_before_it_is_none(start: int) -> None:
    assert await find(losses(), 5, start) is None


async def test_what_the_group_committed_before_it_was_deleted_is_not_lost() -> None:
    assert await find(losses({TP: 8}), 5, 8) is None


async def test_without_a_second_answer_the_next_sweep_decides() -> None:
    watched = losses(None, {TP: 5})

    assert await find(watched, 5, 8) is None
    assert 3 == await find(watched, 5, 8)


async def test_a_loss_is_checked_again_only_when_it_has_changed() -> None:
    watched = losses({TP: 5}, {TP: 5})

    assert [3, 3, 3] == [await find(watched, 5, 8) for _ in range(3)]
    assert 6 == await find(watched, 5, 11)


@pytest.mark.parametrize(
    ("committed", "start", "lost"),
    [
        # What an earlier sweep saw to hold no records, from 5 to before 8.
        (5, 8, None),
        (5, 7, None),
        (5, 10, 2),
        # It says nothing about another offset.
        (4, 8, 4),
    ],
)
async def test_what_held_no_records_is_not_lost(
    committed: int, start: int, lost: int | None
) -> None:
    watched = losses({TP: committed})
    watched.note_empty([(GROUP, {TP: 5})], {TP: 0}, {TP: 8}, {Place(TP, 5)})

    assert lost == await find(watched, committed, start)


async def test_what_holds_no_records_grows_with_the_log() -> None:
    watched = losses({TP: 5}, {TP: 5}, {TP: 5})
    commits = [(GROUP, {TP: 5})]
    watched.note_empty(commits, {TP: 0}, {TP: 8}, {Place(TP, 5)})
    # Markers of further transactions, while the first ones are deleted.
    watched.note_empty(commits, {TP: 7}, {TP: 9}, {Place(TP, 7)})
    assert await find(watched, 5, 9) is None
    # A record arrives.
    watched.note_empty(commits, {TP: 9}, {TP: 12}, ())
    assert 3 == await find(watched, 5, 12)


async def test_a_start_behind_it_ends_what_holds_no_records() -> None:
    watched = losses({TP: 5})
    commits = [(GROUP, {TP: 5})]
    watched.note_empty(commits, {TP: 0}, {TP: 8}, {Place(TP, 5)})
    # Records may have been between 8 and 20.
    watched.note_empty(commits, {TP: 20}, {TP: 21}, {Place(TP, 20)})

    assert 13 == await find(watched, 5, 21)


def sweep(
    *parts: tuple[int | None, int],
    group: str = "payment",
    topic: str = "orders",
    topic_id: str | None = None,
) -> Sweep:
    """Return a sweep, from pairs of committed offset and lost offsets of each partition."""
    partitions = tuple(
        PartitionLag(
            topic, number, committed, 100, 0, 0.0, True, True, None, topic_id=topic_id, lost=lost
        )
        for number, (committed, lost) in enumerate(parts)
    )
    return Sweep(0.0, 0.1, (GroupLag(group, "Stable", 1, partitions, None),))


def counted(*sweeps: Sweep, partitions: bool = True) -> list[int]:
    counter = LossCounter(partitions=partitions, max_series=10)
    return [sum(total for _, total in counter.count(each)) for each in sweeps]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(5, 0), (5, 0)], [0, 0]),
        # The start moves while the group commits nothing.
        ([(5, 3), (5, 3), (5, 10), (5, 10)], [3, 3, 10, 10]),
        # The group goes on at the start, and later loses again.
        ([(5, 3), (8, 0), (20, 0), (20, 4)], [3, 3, 3, 7]),
        # It commits behind what was counted already.
        ([(5, 10), (7, 8), (7, 9)], [10, 10, 11]),
        # An operator sets its offset back to what is gone.
        ([(5, 10), (15, 0), (0, 15)], [10, 10, 10]),
        # A new topic of the same name: its log starts earlier.
        ([(50, 10), (0, 4), (0, 6)], [10, 14, 16]),
    ],
)
def test_each_lost_offset_counts_once(pairs: list[tuple[int, int]], expected: list[int]) -> None:
    assert expected == counted(*(sweep(pair) for pair in pairs))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        # A new topic of the same name, whose log starts behind what the old one had lost.
        (("old", "new"), [10, 16]),
        (("same", "same"), [10, 11]),
        # An id that is unknown for a while is no other one.
        (("same", None, "same"), [10, 11, 11]),
        (("old", None, "new"), [10, 11, 17]),
        ((None, "known"), [10, 11]),
    ],
)
def test_losses_belong_to_a_log_and_not_to_a_name(
    ids: tuple[str | None, ...], expected: list[int]
) -> None:
    pairs = [(5, 10), *[(10, 6)] * (len(ids) - 1)]

    assert expected == counted(
        *(sweep(pair, topic_id=topic_id) for pair, topic_id in zip(pairs, ids, strict=True))
    )


def test_a_partition_that_no_broker_answers_for_does_not_count_again() -> None:
    assert [3, 0, 3] == counted(sweep((5, 3)), sweep(), sweep((5, 3)))


def test_series_exist_before_anything_is_lost() -> None:
    counter = LossCounter(partitions=True, max_series=10)

    assert [(("payment", "orders", "0"), 0)] == counter.count(sweep((5, 0)))


def test_losses_of_a_topic_are_added_up() -> None:
    counter = LossCounter(partitions=False, max_series=10)

    assert [(("payment", "orders"), 7)] == counter.count(sweep((5, 3), (9, 4)))


def test_more_series_than_allowed_share_one_that_never_falls() -> None:
    counter = LossCounter(partitions=True, max_series=2)
    first = dict(counter.count(sweep((5, 1), (5, 2), (5, 4), (5, 8))))
    second = dict(counter.count(sweep((5, 1), (5, 2), (5, 4), (5, 9))))

    other = ("_OTHER", "_OTHER")
    assert {("payment", "orders", "0"): 1, ("payment", "orders", "1"): 2, other: 12} == first
    assert 13 == second[other]


def test_groups_that_are_long_gone_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(counters, "monotonic", lambda: now)
    counter = LossCounter(partitions=True, max_series=1)
    counter.count(sweep((5, 1), group="old"))
    now = 3601.0
    counter.count(sweep())

    assert [(("payment", "orders", "0"), 2)] == counter.count(sweep((5, 2)))
