"""Helpers for tests of stored sagas: create the tables, fill them and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from tracing import SagaContext
from tracing.sql import SqlSagaLog, SqlSagas

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tests.tracing.sql.conftest import Database
    from tracing import FlowEvent, SagaHealth, SagaHistory
    from tracing.sql import SagaTables

S: Final = 1_000_000_000
NAME: Final = "place-order"


async def stored_sagas(database: Database) -> SqlSagas:
    sagas = SqlSagas(metadata=database.metadata)
    await _create(database)
    return sagas


async def saga_log(database: Database) -> SqlSagaLog:
    log = SqlSagaLog(database.engine, metadata=database.metadata)
    await _create(database)
    return log


async def _create(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(database.metadata.create_all)


async def compensated_saga(sagas: SqlSagas, connection: AsyncConnection, saga_id: str) -> None:
    """Record a compensated saga with three steps, each of which ends twice."""
    context = SagaContext(saga_id, 10 * S)
    assert await sagas.start(connection, NAME, context, state="charge", deadline_ns=20 * S)
    for name, compensation in (("charge", False), ("refund", True), ("release", True)):
        await sagas.begin_step(
            connection, NAME, saga_id, name, compensation=compensation, started_ns=11 * S
        )
        outcome: Any = "rejected" if name == "charge" else "ok"
        started_ns = await sagas.end_step(
            connection, NAME, saga_id, name, outcome=outcome, ended_ns=12 * S
        )
        assert 11 * S == started_ns
        assert None is await sagas.end_step(connection, NAME, saga_id, name, outcome="ok")
    assert await sagas.end(connection, NAME, saga_id, "compensated", reason="declined")
    assert not await sagas.end(connection, NAME, saga_id, "failed")


async def store_events(log: SqlSagaLog, saga: str, *events: FlowEvent) -> list[SagaHistory]:
    """Store events one by one, as an observer does; return the histories to report."""
    histories = [
        await log.note(
            saga,
            event,
            context=SagaContext(event.saga_id, event.at_ns) if event.starts else None,
            deadline_ns=event.at_ns + 10 * S if event.starts else None,
        )
        for event in events
    ]
    return [history for history in histories if history is not None]


async def rows(database: Database, tables: SagaTables, saga: str) -> dict[str, list[Any]]:
    """Return all rows of a saga's instances, with the totals summed over their slots."""
    contents: dict[str, list[Any]] = {}
    async with database.engine.connect() as connection:
        for table in (tables.sagas, tables.steps):
            columns = [column for column in table.c if column.name != "context"]
            result = await connection.execute(select(*columns).where(table.c.saga == saga))
            contents[table.name] = sorted((tuple(row) for row in result), key=repr)
        totals = tables.totals.c
        result = await connection.execute(
            select(totals.figure, totals.label, totals.number).where(totals.saga == saga)
        )
        sums: dict[tuple[str, str], int] = {}
        for figure, label, number in result:
            sums[figure, label] = sums.get((figure, label), 0) + number
    contents["totals"] = sorted(sums.items())
    return contents


def totals_of(health: SagaHealth) -> tuple[int, dict[str, int], dict[str, int]]:
    ended = {outcome: number for outcome, number in health.ended.items() if number}
    return health.started, ended, dict(health.active)  # type: ignore[return-value]  # plainer keys
