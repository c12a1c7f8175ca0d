"""What an observer keeps follows from the events alone: not from their order, nor from repeats."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from tests.tracing.sql.saga_books import S, noted, rows, saga_log
from tracing import FlowEvent

if TYPE_CHECKING:
    from tests.tracing.sql.conftest import Database
    from tracing import SagaHistory, SagaOutcome


def start(at_s: float, saga_id: str = "o-1") -> FlowEvent:
    return FlowEvent(saga_id=saga_id, at_ns=int(at_s * S), starts=True, step=None, outcome=None)


def step(name: str, at_s: float, saga_id: str = "o-1") -> FlowEvent:
    return FlowEvent(saga_id=saga_id, at_ns=int(at_s * S), starts=False, step=name, outcome=None)


def end(
    outcome: SagaOutcome, at_s: float, saga_id: str = "o-1", name: str | None = None
) -> FlowEvent:
    return FlowEvent(saga_id=saga_id, at_ns=int(at_s * S), starts=False, step=name, outcome=outcome)


def lives(number: int) -> list[FlowEvent]:
    """Events of several instances, at times of their own; some lack a start or an end."""
    found: list[FlowEvent] = []
    for each in range(number):
        saga_id, at_s = f"o-{each}", 100.0 * each
        whole = [
            start(at_s + 1, saga_id),
            step("reserved", at_s + 2, saga_id),
            step("shipped", at_s + 3, saga_id),
            end("failed" if each % 3 == 0 else "completed", at_s + 4, saga_id, "told"),
            step("thanked", at_s + 5, saga_id),
        ]
        missing = (None, 0, 3, 1)[each % 4]
        found += [one for place, one in enumerate(whole) if place != missing]
    return found


async def test_any_order_of_one_instance_with_any_repeat_ends_in_the_same(
    sqlite: Database,
) -> None:
    log = await saga_log(sqlite)
    life = [start(1), step("shipped", 2), end("completed", 3, name="told"), step("thanked", 4)]
    expected = None
    for order in itertools.permutations(range(len(life))):
        for again in range(len(life)):
            await log.forget("f")
            told = await noted(log, "f", *(life[place] for place in (*order, *order[again:])))
            found = await rows(sqlite, log.tables, "f")
            expected = expected or found
            assert expected == found, order
            assert [("ended", "completed"), ("started", "")] == [key for key, _ in found["totals"]]
            assert 1 == sum(not history.end_reported for history in told), order
            assert ["shipped", "told"] == sorted(
                name for history in told for name, _, _ in history.steps
            ), order


@pytest.mark.parametrize("seed", range(12))
async def test_many_instances_shuffled_with_repeats_end_in_the_same(
    database: Database, seed: int
) -> None:
    log = await saga_log(database)
    life = lives(8)
    await noted(log, "f", *life)
    expected = await rows(database, log.tables, "f")
    chance = random.Random(seed)
    mixed = life + chance.choices(life, k=len(life))
    chance.shuffle(mixed)

    told = await noted(log, "g", *mixed)

    found = await rows(database, log.tables, "g")
    assert expected["totals"] == found["totals"]
    for table in ("saga_instances", "saga_steps"):
        assert [row[1:] for row in expected[table]] == [row[1:] for row in found[table]]
    whole = [history.context.saga_id for history in told if not history.end_reported]
    assert ["o-0", "o-3", "o-4", "o-7"] == sorted(whole)


async def _after(
    database: Database, *events: FlowEvent
) -> tuple[dict[str, list[object]], list[SagaHistory]]:
    log = await saga_log(database)
    await log.forget("f")
    told = await noted(log, "f", *events)
    return await rows(database, log.tables, "f"), told


async def _same_both_ways(database: Database, *events: FlowEvent) -> None:
    forwards, _ = await _after(database, *events)
    backwards, _ = await _after(database, *reversed(events))
    assert forwards == backwards


@pytest.mark.xfail(strict=True, reason="of two ends the first one that is seen counts, for good")
async def test_two_ends_in_any_order_are_the_same_end(sqlite: Database) -> None:
    await _same_both_ways(sqlite, start(1), end("completed", 2), end("failed", 3))


async def test_an_end_that_is_told_again_later_in_any_order_is_the_same(sqlite: Database) -> None:
    await _same_both_ways(sqlite, start(1), end("completed", 2), end("completed", 3))


async def test_two_starts_in_any_order_are_the_same_start(sqlite: Database) -> None:
    await _same_both_ways(sqlite, start(1), start(2))


async def test_a_step_done_twice_in_any_order_is_the_same_step(sqlite: Database) -> None:
    await _same_both_ways(sqlite, start(1), step("shipped", 2), step("shipped", 3))


async def test_events_of_one_moment_in_any_order_are_the_same_state(sqlite: Database) -> None:
    await _same_both_ways(sqlite, start(1), step("shipped", 1))


async def test_an_end_before_its_start_is_one_instance_that_ended(sqlite: Database) -> None:
    found, told = await _after(sqlite, end("completed", 5), start(7))

    assert [(("ended", "completed"), 1), (("started", ""), 1)] == found["totals"]
    (history,) = told
    assert (5 * S, 7 * S) == (history.ended_ns, history.context.started_ns)


async def test_a_step_before_the_start_takes_no_time(sqlite: Database) -> None:
    _, told = await _after(sqlite, step("early", 1), start(2), end("completed", 3, name="told"))

    (history,) = told
    assert (("early", 1 * S, 1 * S), ("told", 2 * S, 3 * S)) == history.steps


async def test_a_late_step_is_told_alone_and_once(sqlite: Database) -> None:
    life = [start(1), end("completed", 5, name="told"), step("shipped", 3), step("shipped", 3)]
    _, told = await _after(sqlite, *life, step("thanked", 6))

    assert [(False, ("told",)), (True, ("shipped",))] == [
        (history.end_reported, tuple(name for name, _, _ in history.steps)) for history in told
    ]
    assert (("shipped", 1 * S, 3 * S),) == told[1].steps
