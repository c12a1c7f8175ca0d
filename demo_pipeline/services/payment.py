"""Payment: charges cards, at most once per order, and refunds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, MetaData, String, Table, bindparam, func, select, update

from demo_pipeline.domain.commands import ChargeCard, RefundCard
from demo_pipeline.domain.events import CardRefunded, PaymentCharged, PaymentDeclined
from demo_pipeline.runtime.database import insert_once
from demo_pipeline.runtime.service import Service

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.events import Event, Order

CARD_LIMIT_CENTS: Final = 500_000
"""The limit of a card for one order."""
DECLINED_CARD: Final = "card-declined"
"""A card that is always declined, like the test cards of payment providers."""

CHARGED: Final = "charged"
DECLINED: Final = "declined"
REFUNDED: Final = "refunded"

_TABLES = MetaData()
_PAYMENTS = Table(
    "payments",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("charged_cents", Integer, nullable=False),
    Column("refunded_cents", Integer, nullable=False, default=0),
    Column("declined_because", String(200)),
)


_THE_PAYMENT: Final = select(_PAYMENTS.c.state, _PAYMENTS.c.declined_because).where(
    _PAYMENTS.c.order_id == bindparam("of_order")
)
_REFUND: Final = (
    update(_PAYMENTS)
    .where(_PAYMENTS.c.order_id == bindparam("of_order"), _PAYMENTS.c.state == CHARGED)
    .values(state=REFUNDED, refunded_cents=_PAYMENTS.c.charged_cents)
)


def charge(command: ChargeCard, connection: Connection) -> tuple[Event, ...]:
    """Charge the card, unless it is declined; a repeated command gets the same answer."""
    order = command.order
    because = declined(order)
    state = DECLINED if because else CHARGED
    # Written first: a command that is repeated meanwhile waits, and finds this payment.
    if insert_once(
        connection,
        _PAYMENTS,
        order_id=order.order_id,
        state=state,
        charged_cents=0 if because else order.total_cents,
        declined_because=because,
    ):
        return (_answer(order, state, because),)
    state, because = connection.execute(_THE_PAYMENT, {"of_order": order.order_id}).one()
    return (_answer(order, state, because),)


def refund(command: RefundCard, connection: Connection) -> tuple[Event, ...]:
    """Refund the charge, if there is one; a later charge is declined."""
    order = command.order
    if not insert_once(
        connection, _PAYMENTS, order_id=order.order_id, state=REFUNDED, charged_cents=0
    ):
        connection.execute(_REFUND, {"of_order": order.order_id})
    return (CardRefunded(order),)


def declined(order: Order) -> str | None:
    """Return why the card is declined, or `None` if it is not."""
    if order.card_token == DECLINED_CARD:
        return "card declined"
    return "card limit exceeded" if order.total_cents > CARD_LIMIT_CENTS else None


async def charged_cents(connection: AsyncConnection) -> int:
    """Return the total of all charges that were not refunded, in cents."""
    kept = _PAYMENTS.c.charged_cents - _PAYMENTS.c.refunded_cents
    return await connection.scalar(select(func.sum(kept))) or 0


def _answer(order: Order, state: str, because: str | None) -> PaymentCharged | PaymentDeclined:
    if state == CHARGED:
        return PaymentCharged(order, f"payment-{order.order_id}")
    return PaymentDeclined(order, because or "the order was cancelled")


SERVICE: Final = Service(
    name="payment", tables=_TABLES, handlers={ChargeCard: charge, RefundCard: refund}
)
