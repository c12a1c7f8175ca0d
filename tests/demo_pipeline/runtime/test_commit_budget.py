"""A busy database commits seldom; a quiet one, and whatever is in a hurry, waits for nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from demo_pipeline.runtime.commit_budget import SAVED, CommitBudget, is_late
from demo_pipeline.runtime.connection_waits import ConnectionWaits
from demo_pipeline.runtime.group_commit import ENOUGH, GroupCommit
from tracing.sql import Transactions
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Connection

    from demo_pipeline.runtime.group_commit import Piece

# Longer than any test: what waits for the budget waits for ever.
HARDLY_EVER = 1e-6


class Desk:
    """A database that commits once, and then as good as never; it notes what shares a commit."""

    def __init__(self, commits: GroupCommit) -> None:
        self.commits = commits
        self.together: list[list[str]] = []

    def work(self, _connection: Connection, pieces: Sequence[Piece[str]]) -> list[None]:
        self.together.append([piece.work for piece in pieces])
        return [None for _ in pieces]

    def ask(self, what: str, *, at_once: bool = False) -> asyncio.Task[None]:
        return asyncio.create_task(
            self.commits.run(self.work, what, patient=False, at_once=at_once)
        )


@asynccontextmanager
async def open_desk(*, saved: float = 1.0) -> AsyncIterator[Desk]:
    engine = create_engine("sqlite://")
    budget = CommitBudget(HARDLY_EVER, saved=saved)
    async with Transactions(engine) as transactions:
        yield Desk(GroupCommit(transactions, ConnectionWaits("shipping"), budget=budget))
    engine.dispose()


async def settle() -> None:
    """Let all tasks go as far as they can without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_quiet_database_saves_transactions_up_and_a_busy_one_waits_for_the_next() -> None:
    now = 0.0
    budget = CommitBudget(10, saved=2, now=lambda: now)
    for _ in range(2):
        assert 0 == budget.wait_s()
        budget.spend()
    assert pytest.approx(0.1) == budget.wait_s()
    now = 0.06
    assert pytest.approx(0.04) == budget.wait_s()
    now = 0.1001
    assert 0 == budget.wait_s()
    now = 1000.0
    for _ in range(2):
        budget.spend()
    assert pytest.approx(0.1) == budget.wait_s()


def test_a_clock_that_goes_back_takes_nothing_from_the_budget() -> None:
    now = 100.0
    budget = CommitBudget(10, saved=2, now=lambda: now)
    now = 0.0
    assert 0 == budget.wait_s()


async def test_the_transactions_of_a_lone_order_wait_for_nothing() -> None:
    async with open_desk(saved=SAVED) as desk:
        for number in range(int(SAVED)):
            await desk.ask(str(number))
        assert [[str(number)] for number in range(int(SAVED))] == desk.together


async def test_what_is_in_a_hurry_takes_along_what_waits() -> None:
    async with open_desk() as desk:
        await desk.ask("first")
        waiting = [desk.ask("a"), desk.ask("b")]
        await settle()
        assert [["first"]] == desk.together
        await desk.ask("now", at_once=True)
        await asyncio.gather(*waiting)
        assert [["first"], ["a", "b", "now"]] == desk.together


async def test_many_pieces_wait_for_no_others() -> None:
    async with open_desk() as desk:
        await desk.ask("first")
        await asyncio.gather(*(desk.ask(str(number)) for number in range(ENOUGH)))
        assert [1, ENOUGH] == [len(each) for each in desk.together]


async def test_work_that_waits_for_the_budget_is_done_before_the_database_closes() -> None:
    async with open_desk() as desk:
        await desk.ask("first")
        waiting = desk.ask("a")
        await settle()
        await desk.commits.close()
        await waiting
        assert [["first"], ["a"]] == desk.together
        await desk.ask("late")


async def test_a_task_that_is_cancelled_while_it_waits_for_the_budget_leaves_no_work() -> None:
    async with open_desk() as desk:
        await desk.ask("first")
        cancelled = desk.ask("a")
        await settle()
        cancelled.cancel()
        await desk.ask("now", at_once=True)
        assert cancelled.cancelled()
        assert [["first"], ["now"]] == desk.together


async def test_the_budget_is_awaited_by_itself() -> None:
    engine = create_engine("sqlite://")
    async with Transactions(engine) as transactions:
        budget = CommitBudget(20, saved=1)
        desk = Desk(GroupCommit(transactions, ConnectionWaits("shipping"), budget=budget))
        await desk.ask("first")
        waiting = desk.ask("a")
        assert await eventually(waiting.done)
    engine.dispose()


@pytest.mark.parametrize(
    ("age_s", "late"), [(0.0, False), (0.2, False), (0.6, True), (3600.0, True), (-3600.0, True)]
)
def test_an_old_record_is_late_and_so_is_one_from_the_future(
    *, age_s: float, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr("demo_pipeline.runtime.commit_budget.time", lambda: now)
    assert late == is_late(1000 * (now - age_s))


def test_where_the_shop_is_slow_records_are_late_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr("demo_pipeline.runtime.commit_budget.time", lambda: now)
    assert not is_late(1000 * (now - 0.6), factor=4)
