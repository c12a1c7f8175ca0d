"""A group that a sweep does not list is gone, unless the cluster did not answer for it."""

from __future__ import annotations

import pytest

from tracing.kafka.cluster import Remarks
from tracing.lag.silent import GroupRemarks, SilentGroups

NO_LEADER = "2 partitions: no leader"


def after(
    unanswered: str = "",
    missing_right: str = "",
    *,
    committed: bool = False,
    complete: bool = False,
) -> tuple[str, ...]:
    """Return the silent groups of a sweep that no longer lists the only group."""
    remarks = Remarks({missing_right} - {""}, {unanswered} - {""})
    groups = SilentGroups()
    groups.observe({"payment"}, {"payment"}, GroupRemarks.of(Remarks()), complete=True)
    return groups.observe(
        (), {"payment"} if committed else (), GroupRemarks.of(remarks), complete=complete
    )


@pytest.mark.parametrize(
    "unanswered",
    [
        "cluster: CoordinatorLoadInProgressError",
        "group payment: RequestTimedOutError",
        "groups of broker 2: KafkaConnectionError",
    ],
)
def test_a_group_may_exist_if_the_cluster_did_not_answer_about_groups(unanswered: str) -> None:
    assert ("payment",) == after(unanswered)


def test_a_group_may_exist_that_the_monitor_may_no_longer_describe() -> None:
    assert ("payment",) == after(missing_right="Describe on group payment", complete=True)


@pytest.mark.parametrize(
    "unanswered",
    ["", "group payment-2: RequestTimedOutError", "topics: RequestTimedOutError", NO_LEADER],
)
def test_another_remark_does_not_keep_a_deleted_group(unanswered: str) -> None:
    assert () == after(unanswered)
    assert () == after(missing_right="Describe on group payment-2")


def test_a_group_whose_partitions_have_no_leader_is_not_gone() -> None:
    assert ("payment",) == after(committed=True)
    # Its topic is deleted.
    assert () == after(committed=True, complete=True)


def test_a_silent_group_stays_silent_until_it_is_gone_or_answered_for() -> None:
    unanswered = GroupRemarks.of(Remarks(set(), {"groups of broker 2: KafkaConnectionError"}))
    answered = GroupRemarks.of(Remarks())
    groups = SilentGroups()
    groups.observe({"gone", "back"}, (), answered, complete=True)

    silent = [groups.observe((), (), unanswered, complete=False) for _ in range(2)]
    assert [("back", "gone")] * 2 == silent
    assert () == groups.observe({"back"}, {"back"}, answered, complete=True)
    assert ("back",) == groups.observe((), (), unanswered, complete=False)


def test_remarks_that_come_later_are_not_on_groups() -> None:
    remarks = Remarks()
    about_groups = GroupRemarks.of(remarks)
    remarks.unanswered.add("groups of broker 2: KafkaConnectionError")

    assert not about_groups.may_hide("payment")
