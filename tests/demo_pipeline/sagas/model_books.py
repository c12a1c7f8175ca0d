"""Checks of the model: what must hold at any moment, and what must hold at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from demo_pipeline.domain.order_states import OrderState
from demo_pipeline.sagas.machine import Phase, SagaState
from demo_pipeline.sagas.place_order import CANCEL_ORDER, STEPS
from demo_pipeline.services.inventory import REJECTED, RELEASED, RESERVED
from demo_pipeline.services.payment import CHARGED, DECLINED, REFUNDED
from demo_pipeline.services.shipping import CANCELLED
from tests.demo_pipeline.sagas.model import Shop
from tests.demo_pipeline.sagas.model_participants import WORK_OF, Work

FINAL_STATES: Final[Mapping[str, frozenset[str]]] = {
    "orders": frozenset({OrderState.CANCELLED, OrderState.ON_HOLD}),
    "inventory": frozenset({REJECTED, RELEASED}),
    "payment": frozenset({DECLINED, REFUNDED}),
    "shipping": frozenset({CANCELLED}),
}
"""States that a participant's row must never leave, with one exception."""
LIFTED_HOLD: Final = (OrderState.ON_HOLD, OrderState.CANCELLED)
"""The exception: the missing cancellation of an order on hold was replayed."""


def check_any_moment(shop: Shop) -> None:
    """Check that stock and money are conserved, and that nothing was done or undone twice."""
    _check_stock(shop)
    _check_money(shop)
    for change, times in shop.participants.changes.items():
        assert 1 == times, f"{change} happened again"
        final = change.before in FINAL_STATES[change.participant]
        assert not final or (change.before, change.after) == LIFTED_HOLD, (
            f"{change} left a final state"
        )


def check_to_the_end(shop: Shop) -> None:
    """Check that all sagas end, and that replaying lost commands afterwards changes no outcome."""
    shop.bring_to_end()
    check_any_moment(shop)
    _check_ends(shop)
    ends = dict(shop.sagas)
    shop.replay_lost()
    assert ends == shop.sagas
    check_any_moment(shop)
    _check_ends(shop)
    _check_held(shop)


def _check_ends(shop: Shop) -> None:
    """Check that every order is complete, compensated, or lists the missing compensations."""
    assert shop.orders.keys() == shop.sagas.keys()
    for saga in shop.sagas.values():
        _CHECK_OF[saga.phase](shop, saga)
    kept_cents = sum(
        row.charged_cents - row.refunded_cents
        for row in shop.participants.rows("payment", "payments")
        if shop.sagas[row.order_id].phase is not Phase.FAILED
    )
    assert kept_cents == sum(
        saga.order.total_cents for saga in shop.sagas.values() if saga.phase is Phase.COMPLETED
    )


def _check_held(shop: Shop) -> None:
    """Check that the orders of failed sagas are on hold.

    If only the cancellation was missing, the order may be cancelled: its event just came too late
    for the saga, and a cancelled order is not put on hold.
    """
    states = shop.participants.states("orders")
    for order_id, saga in shop.sagas.items():
        if saga.phase is Phase.FAILED:
            cancelled = {OrderState.CANCELLED} if saga.to_undo == (CANCEL_ORDER,) else set()
            assert states[order_id] in {OrderState.ON_HOLD, *cancelled}, saga


def _check_stock(shop: Shop) -> None:
    pieces = {row.sku: row.available for row in shop.participants.rows("inventory", "stock")}
    assert all(available >= 0 for available in pieces.values())
    for order_id, state in shop.participants.states("inventory").items():
        if state == RESERVED:
            for line in shop.orders[order_id].lines:
                pieces[line.sku] += line.quantity
    assert shop.first_stock == pieces


def _check_money(shop: Shop) -> None:
    rows = shop.participants.rows("payment", "payments")
    charged = [shop.orders[row.order_id] for row in rows if row.state == CHARGED]
    kept_cents = sum(row.charged_cents - row.refunded_cents for row in rows)
    assert sum(order.total_cents for order in charged) == kept_cents


def _check_completed(shop: Shop, saga: SagaState) -> None:
    order_id = saga.order.order_id
    for work in WORK_OF.values():
        assert work.done == shop.participants.states(work.participant)[order_id]
        assert 1 == shop.participants.times_done(order_id, work)
        assert 0 == shop.participants.times_undone(order_id, work)
    assert OrderState.SHIPPED == shop.participants.states("orders")[order_id]


def _check_compensated(shop: Shop, saga: SagaState) -> None:
    order_id = saga.order.order_id
    for work in WORK_OF.values():
        _check_undone(shop, order_id, work)
    assert OrderState.CANCELLED == shop.participants.states("orders")[order_id]


def _check_failed(shop: Shop, saga: SagaState) -> None:
    assert CANCEL_ORDER == saga.to_undo[-1]
    for step in STEPS:
        if step.compensation not in saga.to_undo:
            _check_undone(shop, saga.order.order_id, WORK_OF[step.name])


def _check_undone(shop: Shop, order_id: str, work: Work) -> None:
    """Check that a step has no effect: it was undone exactly once, or was never done."""
    assert work.done != shop.participants.states(work.participant).get(order_id)
    times_done = shop.participants.times_done(order_id, work)
    assert times_done == shop.participants.times_undone(order_id, work)


_CHECK_OF: Final[Mapping[Phase, Callable[[Shop, SagaState], None]]] = {
    Phase.COMPLETED: _check_completed,
    Phase.COMPENSATED: _check_compensated,
    Phase.FAILED: _check_failed,
}
