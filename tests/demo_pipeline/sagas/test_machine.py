"""The saga's transitions, one by one."""

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
from demo_pipeline.domain.notices import OrderPlacedNotice
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
    """Apply inputs to a new saga; return its state and all commands that it sent."""
    state, sent = None, list[Command]()
    for happening in happenings:
        state, commands = advance(state, happening, DEADLINES)
        sent.extend(commands)
    assert state is not None
    return state, sent


def unanswered(awaited: str, attempts: int) -> list[TimedOut]:
    return [TimedOut(awaited, attempt) for attempt in range(1, attempts + 1)]


def test_a_saga_sends_one_command_after_the_other_and_completes() -> None:
    state, sent = walk(PLACED, RESERVED, CHARGED, SHIPPED)
    assert [ReserveInventory(ORDER), ChargeCard(ORDER), ShipOrder(ORDER)] == sent
    assert Phase.COMPLETED is state.phase
    assert (state.ended, state.awaited, state.reason) == (True, None, None)


@pytest.mark.parametrize(
    ("path", "compensations"),
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
def test_a_rejection_compensates_completed_steps_the_last_first(
    path: tuple[Event, ...], compensations: list[Command]
) -> None:
    state, sent = walk(*path)
    assert compensations == sent[-len(compensations) :]
    assert Phase.COMPENSATED is state.phase
    assert not state.to_undo
    assert not any(isinstance(one, CancelShipment) for one in sent)


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_a_step_without_an_answer_is_repeated_and_then_compensated(
    number: int,
) -> None:
    step, path = STEPS[number], AFTER[number]
    again, sent = walk(*path, TimedOut(step.name, 1))
    assert step.command(ORDER, 2) == sent[-1]
    assert (Phase.RUNNING, number, 2) == (again.phase, again.step, again.attempt)

    compensating, sent = walk(*path, *unanswered(step.name, 2))
    compensations = tuple(one.compensation for one in reversed(STEPS[: number + 1]))
    assert (Phase.COMPENSATING, (*compensations, CANCEL_ORDER)) == (
        compensating.phase,
        compensating.to_undo,
    )
    assert COMPENSATIONS[step.compensation].command is type(sent[-1])
    assert (1, f"{step.name}: no answer") == (compensating.attempt, compensating.reason)


def test_attempts_are_counted_per_step() -> None:
    state, sent = walk(PLACED, TimedOut("reserve-inventory", 1), RESERVED)
    assert (1, ChargeCard(ORDER)) == (state.attempt, sent[-1])
    state, sent = walk(*AFTER[1], DECLINED, TimedOut("release-inventory", 1), RELEASED)
    assert (1, CancelOrder(ORDER, DECLINED.reason)) == (state.attempt, sent[-1])


@pytest.mark.parametrize("number", [0, 1])
def test_an_overdue_saga_compensates_before_its_pivot_is_done(number: int) -> None:
    before, _ = walk(*AFTER[number])
    assert before.deadline_applies
    state, sent = walk(*AFTER[number], DeadlinePassed())
    assert STEPS[number].compensation == state.awaited
    assert f"{STEPS[number].name}: too late" == state.reason
    assert not state.deadline_applies
    assert isinstance(sent[-1], COMPENSATIONS[STEPS[number].compensation].command)


@pytest.mark.parametrize("path", [AFTER[2], (PLACED, RESERVED, DECLINED), *ENDS.values()])
def test_the_deadline_has_no_effect_after_the_pivot_or_during_compensation(
    path: tuple[Happening, ...],
) -> None:
    state, _ = walk(*path)
    assert not state.deadline_applies
    assert (state, ()) == advance(state, DeadlinePassed(), DEADLINES)


def test_a_compensation_is_repeated_with_growing_delays_until_the_saga_fails() -> None:
    path = (PLACED, RESERVED, DECLINED)
    states = [walk(*path, *unanswered("release-inventory", n))[0] for n in range(3)]
    assert [1.5, 3.0, 6.0] == [wait_s(state, DEADLINES) for state in states]

    state, sent = walk(*path, *unanswered("release-inventory", 3))
    reason = "release-inventory got no answer, after card declined"
    assert [ReleaseInventory(ORDER, n) for n in (1, 2, 3)] == sent[-4:-1]
    assert HoldOrder(ORDER, reason) == sent[-1]
    assert (Phase.FAILED, reason, True) == (state.phase, state.reason, state.ended)
    assert ("release-inventory", CANCEL_ORDER) == state.to_undo
    assert state.awaited is None


def test_every_attempt_to_cancel_an_order_has_the_same_reason() -> None:
    _, sent = walk(PLACED, SOLD_OUT, TimedOut(CANCEL_ORDER, 1))
    assert CancelOrder(ORDER, SOLD_OUT.reason, 2) == sent[-1]


def test_every_attempt_at_a_step_has_the_same_timeout() -> None:
    first, again = walk(PLACED)[0], walk(PLACED, TimedOut("reserve-inventory", 1))[0]
    assert 4.0 == wait_s(first, DEADLINES) == wait_s(again, DEADLINES)


@pytest.mark.parametrize(
    "stale",
    [
        TimedOut("charge-card", 1),  # an earlier attempt
        TimedOut("charge-card", 3),  # a later attempt
        TimedOut("reserve-inventory", 2),  # a completed step
        TimedOut("refund-card", 2),  # a compensation that was never started
    ],
)
def test_a_stale_timer_changes_nothing(stale: TimedOut) -> None:
    state, _ = walk(*AFTER[1], TimedOut("charge-card", 1))
    assert (state, ()) == advance(state, stale, DEADLINES)


@pytest.mark.parametrize(
    ("path", "expected"),
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
def test_only_answers_to_the_awaited_command_move_a_saga(
    path: tuple[Happening, ...], expected: set[type[Event]]
) -> None:
    state, _ = walk(*path)
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
def test_only_a_placed_order_begins_a_saga(happening: Happening) -> None:
    assert (None, ()) == advance(None, happening, DEADLINES)


def test_a_duplicate_order_does_not_restart_its_saga() -> None:
    state, _ = walk(PLACED, RESERVED)
    assert (state, ()) == advance(state, OrderPlaced(replace(ORDER)), DEADLINES)


def test_the_table_is_complete() -> None:
    assert {step.compensation for step in STEPS} | {CANCEL_ORDER} == COMPENSATIONS.keys()
    compensations = {one.command for one in COMPENSATIONS.values()}
    assert {step.command for step in STEPS} | compensations | {HoldOrder} == set(get_args(Command))
    answers = {event for step in STEPS for event in (step.done, step.refused)}
    assert answers | {one.done for one in COMPENSATIONS.values()} <= set(get_args(Event))


def test_commands_and_events_have_topics_of_their_kind() -> None:
    assert {*get_args(Command), *get_args(Event), OrderPlacedNotice} == TOPIC_OF.keys()
    assert all(TOPIC_OF[command].endswith(".commands") for command in get_args(Command))
    assert all(TOPIC_OF[event].endswith(".events") for event in get_args(Event))
