"""The saga's moves, one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, get_args

import pytest

from demo_pipeline.domain.commands import (
    CancelOrder,
    CancelShipment,
    ChargeCard,
    Command,
    HoldOrder,
    RefundCard,
    ReleaseInventory,
    ReserveInventory,
    ShipOrder,
)
from demo_pipeline.domain.deadlines import Deadlines
from demo_pipeline.domain.events import (
    CardRefunded,
    Event,
    OrderCancelled,
    OrderPlaced,
    OrderShipped,
    PaymentCharged,
    PaymentDeclined,
    ShipmentCancelled,
    ShippingRefused,
    StockRejected,
    StockReleased,
    StockReserved,
)
from demo_pipeline.domain.topics import TOPIC_OF
from demo_pipeline.sagas.machine import (
    DeadlinePassed,
    Happening,
    Phase,
    SagaState,
    TimedOut,
    advance,
    wait_s,
)
from demo_pipeline.sagas.place_order import CANCEL_ORDER, COMPENSATIONS, STEPS
from tests.demo_pipeline.sagas.model_events import (
    AFTER,
    CANCELLED,
    CHARGED,
    DECLINED,
    EVENTS,
    ORDER,
    PLACED,
    REFUNDED,
    REFUSED,
    RELEASED,
    RESERVED,
    SHIPPED,
    SOLD_OUT,
)

DEADLINES: Final = Deadlines(
    saga_s=10, step_s=4, step_attempts=2, compensation_s=1.5, compensation_attempts=3
)

ENDS: Final[dict[Phase, tuple[Happening, ...]]] = {
    Phase.COMPLETED: (PLACED, RESERVED, CHARGED, SHIPPED),
    Phase.COMPENSATED: (PLACED, SOLD_OUT, CANCELLED),
    Phase.FAILED: (PLACED, SOLD_OUT, *(TimedOut(CANCEL_ORDER, one) for one in (1, 2, 3))),
}


def walk(*happenings: Happening) -> tuple[SagaState, list[Command]]:
    """Where a saga is after all that, and the commands that it gave on its way."""
    state, given = None, list[Command]()
    for happening in happenings:
        state, commands = advance(state, happening, DEADLINES)
        given.extend(commands)
    assert state is not None
    return state, given


def unanswered(awaited: str, attempts: int) -> list[TimedOut]:
    return [TimedOut(awaited, attempt) for attempt in range(1, attempts + 1)]


def test_a_saga_gives_the_commands_one_after_the_other_and_is_completed() -> None:
    state, given = walk(PLACED, RESERVED, CHARGED, SHIPPED)
    assert [ReserveInventory(ORDER), ChargeCard(ORDER), ShipOrder(ORDER)] == given
    assert Phase.COMPLETED is state.phase
    assert (state.ended, state.awaited, state.reason) == (True, None, None)


@pytest.mark.parametrize(
    ("way", "undoing"),
    [
        ((PLACED, SOLD_OUT, CANCELLED), [CancelOrder(ORDER, SOLD_OUT.reason)]),
        (
            (PLACED, RESERVED, DECLINED, RELEASED, CANCELLED),
            [ReleaseInventory(ORDER), CancelOrder(ORDER, DECLINED.reason)],
        ),
        (
            (PLACED, RESERVED, CHARGED, REFUSED, REFUNDED, RELEASED, CANCELLED),
            [RefundCard(ORDER), ReleaseInventory(ORDER), CancelOrder(ORDER, REFUSED.reason)],
        ),
    ],
)
def test_a_refusal_undoes_what_was_done_before_it_the_last_first(
    way: tuple[Event, ...], undoing: list[Command]
) -> None:
    state, given = walk(*way)
    assert undoing == given[-len(undoing) :]
    assert Phase.COMPENSATED is state.phase
    assert not state.to_undo
    assert not any(isinstance(one, CancelShipment) for one in given)


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_a_step_without_an_answer_is_asked_for_again_and_then_undone_because_of_the_doubt(
    number: int,
) -> None:
    step, way = STEPS[number], AFTER[number]
    again, given = walk(*way, TimedOut(step.name, 1))
    assert step.command(ORDER, 2) == given[-1]
    assert (Phase.RUNNING, number, 2) == (again.phase, again.step, again.attempt)

    back, given = walk(*way, *unanswered(step.name, 2))
    undoing = tuple(one.compensation for one in reversed(STEPS[: number + 1]))
    assert (Phase.COMPENSATING, (*undoing, CANCEL_ORDER)) == (back.phase, back.to_undo)
    assert COMPENSATIONS[step.compensation].command is type(given[-1])
    assert (1, f"{step.name}: no answer") == (back.attempt, back.reason)


def test_attempts_are_counted_anew_for_whatever_comes_next() -> None:
    state, given = walk(PLACED, TimedOut("reserve-inventory", 1), RESERVED)
    assert (1, ChargeCard(ORDER)) == (state.attempt, given[-1])
    state, given = walk(*AFTER[1], DECLINED, TimedOut("release-inventory", 1), RELEASED)
    assert (1, CancelOrder(ORDER, DECLINED.reason)) == (state.attempt, given[-1])


@pytest.mark.parametrize("number", [0, 1])
def test_a_late_saga_turns_back_before_its_pivot_is_done(number: int) -> None:
    before, _ = walk(*AFTER[number])
    assert before.deadline_applies
    state, given = walk(*AFTER[number], DeadlinePassed())
    assert STEPS[number].compensation == state.awaited
    assert f"{STEPS[number].name}: too late" == state.reason
    assert not state.deadline_applies
    assert isinstance(given[-1], COMPENSATIONS[STEPS[number].compensation].command)


@pytest.mark.parametrize("way", [AFTER[2], (PLACED, RESERVED, DECLINED), *ENDS.values()])
def test_being_late_means_nothing_after_the_pivot_or_on_the_way_back(
    way: tuple[Happening, ...],
) -> None:
    state, _ = walk(*way)
    assert not state.deadline_applies
    assert (state, ()) == advance(state, DeadlinePassed(), DEADLINES)


def test_a_compensation_is_asked_for_ever_more_patiently_until_the_saga_has_failed() -> None:
    way = (PLACED, RESERVED, DECLINED)
    states = [walk(*way, *unanswered("release-inventory", n))[0] for n in range(3)]
    assert [1.5, 3.0, 6.0] == [wait_s(state, DEADLINES) for state in states]

    state, given = walk(*way, *unanswered("release-inventory", 3))
    reason = "release-inventory got no answer, after card declined"
    assert [ReleaseInventory(ORDER, n) for n in (1, 2, 3)] == given[-4:-1]
    assert HoldOrder(ORDER, reason) == given[-1]
    assert (Phase.FAILED, reason, True) == (state.phase, state.reason, state.ended)
    assert ("release-inventory", CANCEL_ORDER) == state.to_undo
    assert state.awaited is None


def test_the_customer_is_told_the_same_reason_at_every_attempt_to_cancel() -> None:
    _, given = walk(PLACED, SOLD_OUT, TimedOut(CANCEL_ORDER, 1))
    assert CancelOrder(ORDER, SOLD_OUT.reason, 2) == given[-1]


def test_a_step_is_waited_for_equally_long_each_time() -> None:
    first, again = walk(PLACED)[0], walk(PLACED, TimedOut("reserve-inventory", 1))[0]
    assert 4.0 == wait_s(first, DEADLINES) == wait_s(again, DEADLINES)


@pytest.mark.parametrize(
    "stale",
    [
        TimedOut("charge-card", 1),  # of an attempt that is over
        TimedOut("charge-card", 3),  # of one that is still to come
        TimedOut("reserve-inventory", 2),  # of a step that is done
        TimedOut("refund-card", 2),  # of nothing that was ever asked for
    ],
)
def test_the_timer_of_another_wait_changes_nothing(stale: TimedOut) -> None:
    state, _ = walk(*AFTER[1], TimedOut("charge-card", 1))
    assert (state, ()) == advance(state, stale, DEADLINES)


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (AFTER[0], {StockReserved, StockRejected}),
        (AFTER[1], {PaymentCharged, PaymentDeclined}),
        (AFTER[2], {OrderShipped, ShippingRefused}),
        ((*AFTER[2], *unanswered("ship-order", 2)), {ShipmentCancelled}),
        ((*AFTER[2], REFUSED), {CardRefunded}),
        ((*AFTER[2], REFUSED, REFUNDED), {StockReleased}),
        ((*AFTER[2], REFUSED, REFUNDED, RELEASED), {OrderCancelled}),
    ],
)
def test_only_answers_to_what_it_waits_for_move_a_saga(
    way: tuple[Happening, ...], expected: set[type[Event]]
) -> None:
    state, _ = walk(*way)
    moving = {type(one) for one in EVENTS if advance(state, one, DEADLINES) != (state, ())}
    assert expected == moving


@pytest.mark.parametrize("end", ENDS)
def test_an_end_is_final(end: Phase) -> None:
    state, _ = walk(*ENDS[end])
    assert end is state.phase
    timers = [TimedOut(name, n) for name in (*COMPENSATIONS, "ship-order") for n in (1, 2, 3)]
    for happening in (*EVENTS, *timers, DeadlinePassed()):
        assert (state, ()) == advance(state, happening, DEADLINES)


@pytest.mark.parametrize(
    "happening", [*EVENTS[1:], TimedOut("reserve-inventory", 1), DeadlinePassed()], ids=repr
)
def test_nothing_but_an_order_begins_a_saga(happening: Happening) -> None:
    assert (None, ()) == advance(None, happening, DEADLINES)


def test_an_order_that_is_told_again_begins_nothing_anew() -> None:
    state, _ = walk(PLACED, RESERVED)
    assert (state, ()) == advance(state, OrderPlaced(replace(ORDER)), DEADLINES)


def test_the_table_is_complete() -> None:
    assert {step.compensation for step in STEPS} | {CANCEL_ORDER} == COMPENSATIONS.keys()
    undoing = {one.command for one in COMPENSATIONS.values()}
    assert {step.command for step in STEPS} | undoing | {HoldOrder} == set(get_args(Command))
    answers = {event for step in STEPS for event in (step.done, step.refused)}
    assert answers | {one.done for one in COMPENSATIONS.values()} <= set(get_args(Event))


def test_commands_and_events_have_topics_of_their_kind() -> None:
    assert {*get_args(Command), *get_args(Event)} == TOPIC_OF.keys()
    assert all(TOPIC_OF[command].endswith(".commands") for command in get_args(Command))
    assert all(TOPIC_OF[event].endswith(".events") for event in get_args(Event))
