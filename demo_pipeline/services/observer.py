"""Observer: checks from events alone that every customer is notified."""

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
from demo_pipeline.runtime.commit_budget import is_late
from demo_pipeline.runtime.service import Service, Work
from tracing.sql import FlowNote, SagaView, SqlSagaLog, saga_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.runtime.group_commit import Piece
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
    # Longer than a notification takes in any scenario that goes well.
    deadline_s=15.0,
)

_TABLES = MetaData()
SAGA_TABLES: Final = saga_tables(_TABLES)
"""The tables with the status of the observed flows."""


class _SharedLog:
    """A saga log whose events share transactions."""

    def __init__(self, context: ServiceContext) -> None:
        self._commits, self._pace = context.commits, context.pace
        self._log = SqlSagaLog(context.commits.transactions, metadata=_TABLES)

    async def health(self, saga: str, now_ns: int) -> tracing.SagaHealth:
        """Read the health of the instances of one flow."""
        return await self._log.health(saga, now_ns)

    async def note(
        self,
        saga: str,
        event: tracing.FlowEvent,
        *,
        context: tracing.SagaContext | None = None,
        deadline_ns: int | None = None,
    ) -> tracing.SagaHistory | None:
        """Store an event."""
        note = saga, FlowNote(event, context, deadline_ns)
        at_once = is_late(event.at_ns / 1_000_000, self._pace.factor)
        return await self._commits.run(self._note, note, patient=False, at_once=at_once)

    def _note(
        self, connection: Connection, pieces: Sequence[Piece[tuple[str, FlowNote]]]
    ) -> list[tracing.SagaHistory | None]:
        noted: dict[int, tracing.SagaHistory | None] = {}
        for saga in {piece.work[0] for piece in pieces}:
            of_saga = [each for each in pieces if each.work[0] == saga]
            notes = [each.work[1] for each in of_saga]
            noted |= zip(
                map(id, of_saga), self._log.note_all_in(connection, saga, notes), strict=True
            )
        return [noted[id(each)] for each in pieces]


@asynccontextmanager
async def observing(context: ServiceContext) -> AsyncIterator[Work]:
    """Observe events during the block."""
    log = _SharedLog(context)
    observer = tracing.SagaObserver([ORDER_NOTIFICATION], log, context.telemetry)
    try:
        yield Work(observer.observe)
    finally:
        await observer.aclose()


async def notified_orders(connection: AsyncConnection) -> frozenset[str]:
    """Return the ids of all orders whose customer was notified."""
    ended = await SagaView(SAGA_TABLES).sagas(
        connection, saga=ORDER_NOTIFICATION.name, states=("completed",), limit=1_000_000
    )
    return frozenset(saga.saga_id for saga in ended)


SERVICE: Final = Service(
    name="observer",
    tables=_TABLES,
    at_work=observing,
    other_topics=(NOTIFICATION, ORDERS, SHIPPING),
    # No order waits for it.
    commits_per_s=4.0,
)
