"""Receipts: writes a receipt for each order; it gets notices, and asks for what they leave out.

It runs in the scenario `notification` only.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Integer, MetaData, String, Table, select

from demo_pipeline.domain.notices import OrderPlacedNotice
from demo_pipeline.domain.topics import NOTICES
from demo_pipeline.runtime.database import insert_once
from demo_pipeline.runtime.orders_api import ask
from demo_pipeline.runtime.publishing import perform
from demo_pipeline.runtime.service import Service, Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka.structs import ConsumerRecord
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.messages import Message
    from demo_pipeline.runtime.orders_api import OrderAnswer
    from demo_pipeline.runtime.service_context import ServiceContext

_TABLES = MetaData()
_RECEIPTS = Table(
    "receipts",
    _TABLES,
    Column("order_id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("total_cents", Integer, nullable=False),
    # When the receipt was written: the order may have moved on since the notice.
    Column("state", String(16), nullable=False),
)


def write(
    answer: OrderAnswer, _notice: OrderPlacedNotice, connection: Connection
) -> tuple[Message, ...]:
    """Write the receipt, once."""
    insert_once(
        connection,
        _RECEIPTS,
        order_id=answer.order_id,
        user_id=answer.user_id,
        total_cents=answer.total_cents,
        state=answer.state,
    )
    return ()


@asynccontextmanager
async def writing(context: ServiceContext) -> AsyncIterator[Work]:
    """Write receipts during the block."""
    client = context.orders
    if client is None:
        raise RuntimeError("receipts needs the orders API")

    async def handle(record: ConsumerRecord[Any, Any]) -> None:
        notice = await context.codec.decode(record)
        if not isinstance(notice, OrderPlacedNotice):
            return
        # Before the transaction: no lock is held while another service thinks.
        answer = await ask(client, notice.order)
        await perform(partial(write, answer), notice, context, record)

    yield Work(handle)


async def receipted_orders(connection: AsyncConnection) -> frozenset[str]:
    """Return the ids of all orders with a receipt."""
    return frozenset(await connection.scalars(select(_RECEIPTS.c.order_id)))


SERVICE: Final = Service(
    name="receipts",
    tables=_TABLES,
    at_work=writing,
    other_topics=(NOTICES,),
    # Another service's outage is not the fault of a record: try for longer than it lasts.
    attempts=12,
    asks_orders=True,
)
