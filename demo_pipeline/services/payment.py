"""Payment: charges cards, each order at most once, and gives the money back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select, update

from demo_pipeline.domain.commands import ChargeCard, RefundCard
from demo_pipeline.domain.events import CardRefunded, PaymentCharged, PaymentDeclined
from demo_pipeline.runtime.service import Service

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.events import Event, Order

CARD_LIMIT_CENTS: Final = 500_000
"""What a card pays at most for one order."""
DECLINED_CARD: Final = "card-declined"
"""The card that never pays, such as payment providers have for tests."""

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


async def charge(command: ChargeCard, connection: AsyncConnection) -> tuple[Event, ...]:
    """Charge the card, unless it declines; asked again, answer as before."""
    order = command.order
    found = await _payment(order, connection)
    if found is not None:
        return (_answer(order, *found),)
    because = declined(order)
    state = DECLINED if because else CHARGED
    await connection.execute(
        insert(_PAYMENTS).values(
            order_id=order.order_id,
            state=state,
            charged_cents=0 if because else order.total_cents,
            declined_because=because,
        )
    )
    return (_answer(order, state, because),)


async def refund(command: RefundCard, connection: AsyncConnection) -> tuple[Event, ...]:
    """Give back what was charged, if anything was; a charge that comes later is declined."""
    order = command.order
    found = await _payment(order, connection)
    if found is None:
        await connection.execute(
            insert(_PAYMENTS).values(order_id=order.order_id, state=REFUNDED, charged_cents=0)
        )
    elif found[0] == CHARGED:
        await connection.execute(
            update(_PAYMENTS)
            .where(_PAYMENTS.c.order_id == order.order_id)
            .values(state=REFUNDED, refunded_cents=_PAYMENTS.c.charged_cents)
        )
    return (CardRefunded(order),)


def declined(order: Order) -> str | None:
    """Say why the card does not pay, or `None` when it does."""
    if order.card_token == DECLINED_CARD:
        return "card declined"
    return "card limit exceeded" if order.total_cents > CARD_LIMIT_CENTS else None


async def charged_cents(connection: AsyncConnection) -> int:
    """What all cards together were charged and not given back, in cents."""
    kept = _PAYMENTS.c.charged_cents - _PAYMENTS.c.refunded_cents
    return await connection.scalar(select(func.sum(kept))) or 0


async def _payment(order: Order, connection: AsyncConnection) -> tuple[str, str | None] | None:
    """How an order's payment stands, and why it was declined; `None` where there is none."""
    found = await connection.execute(
        select(_PAYMENTS.c.state, _PAYMENTS.c.declined_because)
        .where(_PAYMENTS.c.order_id == order.order_id)
        .with_for_update()
    )
    row = found.one_or_none()
    return None if row is None else (row.state, row.declined_because)


def _answer(order: Order, state: str, because: str | None) -> PaymentCharged | PaymentDeclined:
    if state == CHARGED:
        return PaymentCharged(order, f"payment-{order.order_id}")
    return PaymentDeclined(order, because or "the order was cancelled")


SERVICE: Final = Service(
    name="payment", tables=_TABLES, handlers={ChargeCard: charge, RefundCard: refund}
)
