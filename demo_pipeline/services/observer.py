"""Observer: sees from the events alone whether customers hear what became of their orders."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import MetaData

import tracing
from demo_pipeline.domain.events import (
    CustomerNotified,
    OrderCancelled,
    OrderHeld,
    OrderPlaced,
    OrderShipped,
)
from demo_pipeline.domain.topics import NOTIFICATION, ORDERS, SHIPPING
from demo_pipeline.runtime.service import Service, Work
from tracing.sql import SagaView, SqlSagaLog, saga_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.runtime.service_context import ServiceContext

ORDER_NOTIFICATION: Final = tracing.SagaFlow(
    name="order-notification",
    start=OrderPlaced.__name__,
    steps={
        OrderShipped.__name__: "order-shipped",
        OrderCancelled.__name__: "order-cancelled",
        OrderHeld.__name__: "order-held",
        CustomerNotified.__name__: "customer-notified",
    },
    ends={CustomerNotified.__name__: "completed"},
    # What a customer waits for patiently in a demo.
    deadline_s=15.0,
)

_TABLES = MetaData()
SAGA_TABLES: Final = saga_tables(_TABLES)
"""Where it is written how the flows stand."""


@asynccontextmanager
async def observing(context: ServiceContext) -> AsyncIterator[Work]:
    """Observe until the block is left."""
    log = SqlSagaLog(context.database, metadata=_TABLES)
    observer = tracing.SagaObserver([ORDER_NOTIFICATION], log, context.telemetry)
    try:
        yield Work(observer.observe)
    finally:
        await observer.aclose()


async def notified_orders(connection: AsyncConnection) -> frozenset[str]:
    """The ids of all orders whose customer has heard what became of them."""
    ended = await SagaView(SAGA_TABLES).sagas(
        connection, saga=ORDER_NOTIFICATION.name, states=("completed",), limit=1_000_000
    )
    return frozenset(found.saga_id for found in ended)


SERVICE: Final = Service(
    name="observer",
    tables=_TABLES,
    at_work=observing,
    other_topics=(NOTIFICATION, ORDERS, SHIPPING),
)
