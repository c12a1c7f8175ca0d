"""Payment: charges cards, each order at most once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select

from demo_pipeline.commands import ChargeCard
from demo_pipeline.events import PaymentCharged, PaymentDeclined
from demo_pipeline.service import Service

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.events import Event, Order

CARD_LIMIT_CENTS: Final = 500_000
"""What a card pays at most for one order."""

_TABLES = MetaData()
_PAYMENTS = Table(
    "payments",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("charged_cents", Integer, nullable=False),
    Column("declined_because", String(200)),
)


async def charge(command: ChargeCard, connection: AsyncConnection) -> tuple[Event, ...]:
    """Charge the card, unless it declines."""
    order = command.order
    because = declined(order)
    await connection.execute(
        insert(_PAYMENTS).values(
            order_id=order.order_id,
            charged_cents=0 if because else order.total_cents,
            declined_because=because,
        )
    )
    return (_event(order, because),)


def declined(order: Order) -> str | None:
    """Say why the card does not pay, or `None` when it does."""
    return "card limit exceeded" if order.total_cents > CARD_LIMIT_CENTS else None


async def charged_cents(connection: AsyncConnection) -> int:
    """What all cards together were charged, in cents."""
    return await connection.scalar(select(func.sum(_PAYMENTS.c.charged_cents))) or 0


def _event(order: Order, because: str | None) -> PaymentCharged | PaymentDeclined:
    if because is not None:
        return PaymentDeclined(order, because)
    return PaymentCharged(order, f"payment-{order.order_id}")


SERVICE: Final = Service(name="payment", tables=_TABLES, handlers={ChargeCard: charge})
