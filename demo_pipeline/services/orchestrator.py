"""Orchestrator: runs the place-order saga; no other service sends commands."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import MetaData

import tracing
from demo_pipeline.domain.events import OrderPlaced
from demo_pipeline.domain.topics import TOPIC_OF
from demo_pipeline.runtime.service import Service, Work
from demo_pipeline.sagas.orchestrator import Orchestrator
from demo_pipeline.sagas.place_order import COMPENSATIONS, NAME, STEPS
from demo_pipeline.sagas.store import SagaStore
from demo_pipeline.sagas.timers import run_timers
from tracing.sql import SqlSagas

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka.structs import ConsumerRecord

    from demo_pipeline.domain.events import Event
    from demo_pipeline.runtime.service_context import ServiceContext

# Longer than a group waits for a killed member.
_LONGEST_GRACE_S: Final = 15.0

_TABLES = MetaData()
STORE: Final = SagaStore(_TABLES)
"""The table with the sagas' states."""
_SAGAS: Final = SqlSagas(metadata=_TABLES)
SAGA_TABLES: Final = _SAGAS.tables
"""The tables with the sagas' status."""

_MOVING: Final = frozenset(
    {
        OrderPlaced,
        *(event for step in STEPS for event in (step.done, step.refused)),
        *(compensation.done for compensation in COMPENSATIONS.values()),
    }
)


@asynccontextmanager
async def orchestrating(context: ServiceContext) -> AsyncIterator[Work]:
    """Run the sagas during the block."""
    health = _SAGAS.on(context.commits.transactions)
    tracker = tracing.SagaTracker(NAME, context.telemetry, health=health)
    orchestrator = Orchestrator(context, STORE, _SAGAS, tracker)

    async def handle(record: ConsumerRecord[Any, Any]) -> None:
        message = await context.codec.decode(record)
        if type(message) in _MOVING:
            await orchestrator.take(cast("Event", message), record)

    grace_s = min(context.deadlines.step_s, _LONGEST_GRACE_S)
    timers = asyncio.create_task(run_timers(orchestrator, grace_s=grace_s))
    try:
        yield Work(handle, (timers,))
    finally:
        timers.cancel()
        await asyncio.wait({timers})
        await tracker.aclose()


SERVICE: Final = Service(
    name="orchestrator",
    tables=_TABLES,
    at_work=orchestrating,
    other_topics=tuple(sorted({TOPIC_OF[event] for event in _MOVING})),
)
