"""The saga on an unreliable network: it ends exactly once, and stock and money are conserved."""

from __future__ import annotations

from contextlib import closing
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from demo_pipeline.domain.events import Order, OrderLine
from demo_pipeline.sagas.machine import DeadlinePassed, Phase, TimedOut
from demo_pipeline.sagas.place_order import COMPENSATIONS, STEPS, Step
from demo_pipeline.services.payment import CARD_LIMIT_CENTS, DECLINED_CARD
from tests.demo_pipeline.sagas.model import Shop
from tests.demo_pipeline.sagas.model_books import check_any_moment, check_to_the_end
from tests.demo_pipeline.sagas.model_participants import WORK_OF

T = TypeVar("T")

STOCK: Final = {"cup": 3, "kettle": 6}
"""Sometimes less than the orders ask for."""

CARDS: Final = ("card-07", "card-07", "card-07", "card-07", DECLINED_CARD)
PRICES: Final = (1, 890, 4450, CARD_LIMIT_CENTS // 2)
AWAITED: Final = (*(step.name for step in STEPS), *COMPENSATIONS)

LINES: Final = st.lists(
    st.builds(
        OrderLine,
        sku=st.sampled_from(sorted(STOCK)),
        quantity=st.integers(1, 2),
        unit_price_cents=st.sampled_from(PRICES),
    ),
    min_size=1,
    max_size=2,
)
WISHES: Final = st.tuples(LINES, st.sampled_from(CARDS), st.integers(0, 4))
"""Order lines, card, and number of rounds without faults, so that faults may also come late."""


class PlaceOrderSagas(RuleBasedStateMachine):
    """A few orders, and everything that can happen to their messages and timers.

    A rule without anything to work on does nothing; with preconditions, Hypothesis would discard a
    quarter of all runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop(STOCK)

    @initialize(wishes=st.lists(WISHES, min_size=2, max_size=4))
    def place_orders(self, wishes: list[tuple[list[OrderLine], str, int]]) -> None:
        for number, (lines, card, rounds) in enumerate(wishes, 1):
            order_id = f"o-{number}"
            total_cents = sum(line.quantity * line.unit_price_cents for line in lines)
            self.shop.place(
                Order(order_id, "user-07", tuple(lines), total_cents, card, "8 Harbour Street")
            )
            for _ in range(rounds):
                self.shop.deliver_round(order_id)

    @rule(data=st.data())
    def deliver_command(self, data: st.DataObject) -> None:
        queue = _one_of(data, self.shop.network.queues)
        if queue is not None:
            self.shop.deliver(self.shop.network.next_command(queue))

    @rule(data=st.data())
    def lose_command(self, data: st.DataObject) -> None:
        queue = _one_of(data, self.shop.network.queues)
        if queue is not None:
            self.shop.network.lost.append(self.shop.network.next_command(queue))

    @rule(data=st.data())
    def replay_lost_command(self, data: st.DataObject) -> None:
        delivery = _one_of(data, self.shop.network.lost)
        if delivery is not None:
            self.shop.network.lost.remove(delivery)
            self.shop.deliver(delivery)

    @rule(data=st.data())
    def deliver_event(self, data: st.DataObject) -> None:
        delivery = _one_of(data, self.shop.network.events)
        if delivery is not None:
            self.shop.network.events.remove(delivery)
            self.shop.deliver(delivery)

    @rule(data=st.data())
    def deliver_round_of_an_order(self, data: st.DataObject) -> None:
        self.shop.deliver_round(_one_of(data, list(self.shop.orders)))

    @rule(data=st.data(), past_the_inbox=st.booleans())
    def deliver_again(self, data: st.DataObject, *, past_the_inbox: bool) -> None:
        delivery = _one_of(data, self.shop.network.delivered)
        if delivery is not None:
            (self.shop.apply if past_the_inbox else self.shop.deliver)(delivery)

    @rule(data=st.data())
    def time_out(self, data: st.DataObject) -> None:
        saga = _one_of(data, self.shop.waiting)
        if saga is not None:
            assert self.shop.time_out(saga)

    @rule(data=st.data(), lost=st.booleans())
    def time_out_all_attempts(self, data: st.DataObject, *, lost: bool) -> None:
        """Time out all attempts at a step, with their commands lost or just slow."""
        running = [saga for saga in self.shop.waiting if saga.phase is Phase.RUNNING]
        saga = _one_of(data, running)
        if saga is not None:
            self.shop.time_out_all_attempts(saga.order.order_id, lost=lost)

    @rule(data=st.data(), awaited=st.sampled_from(AWAITED), attempt=st.integers(1, 3))
    def fire_stale_timer(self, data: st.DataObject, awaited: str, attempt: int) -> None:
        """Fire the timer of an attempt that is over or never was; it changes nothing."""
        saga = _one_of(data, list(self.shop.sagas.values()))
        if saga is not None and (awaited, attempt) != (saga.awaited, saga.attempt):
            assert not self.shop.happen(saga.order.order_id, TimedOut(awaited, attempt))

    @rule(data=st.data())
    def pass_deadline(self, data: st.DataObject) -> None:
        saga = _one_of(data, list(self.shop.sagas.values()))
        if saga is not None:
            moved = self.shop.happen(saga.order.order_id, DeadlinePassed())
            assert saga.deadline_applies == moved

    @invariant()
    def stock_and_money_are_conserved(self) -> None:
        check_any_moment(self.shop)

    def teardown(self) -> None:
        try:
            check_to_the_end(self.shop)
            for saga in self.shop.sagas.values():
                event(f"a saga ended: {saga.phase}")
        finally:
            self.shop.close()


def _one_of(data: st.DataObject, things: list[T]) -> T | None:
    if not things:
        return None
    thing = things[data.draw(st.integers(0, len(things) - 1))]
    note(repr(thing))
    return thing


TestPlaceOrderSagas = PlaceOrderSagas.TestCase
TestPlaceOrderSagas.settings = settings(
    max_examples=250,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_lost_command_that_arrives_after_its_compensation_has_no_effect(step: Step) -> None:
    shop = Shop(STOCK)
    with closing(shop):
        shop.place(Order("o-1", "user-07", (OrderLine("cup", 1, 890),), 890, "card-07", "Street 8"))
        while "o-1" not in shop.sagas or shop.sagas["o-1"].awaited != step.name:
            assert shop.deliver_round()
        shop.time_out_all_attempts("o-1", lost=True)
        check_to_the_end(shop)
        assert Phase.COMPENSATED is shop.sagas["o-1"].phase
        assert not shop.participants.times_done("o-1", WORK_OF[step.name])
        for delivery in list(shop.network.delivered):
            shop.apply(delivery)
        check_to_the_end(shop)
