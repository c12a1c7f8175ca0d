"""Sagas in tables: each change counts once, in the transaction that makes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.tracing.sql.conftest import Database
from tracing import SagaContext, SagaHealth
from tracing.sql import SagaMove, SagaView, SqlSagas

S = 1_000_000_000
NAME = "place-order"


@pytest.fixture
async def sagas(database: Database) -> SqlSagas:
    stored = SqlSagas(metadata=database.metadata)
    async with database.engine.begin() as connection:
        await connection.run_sync(database.metadata.create_all)
    return stored


async def _health(sagas: SqlSagas, database: Database, now_ns: int = 50 * S) -> SagaHealth:
    return await sagas.on(database.engine).health(NAME, now_ns)


async def _start(sagas: SqlSagas, database: Database, saga_id: str, at_ns: int = 10 * S) -> bool:
    async with database.engine.begin() as connection:
        return await sagas.start(
            connection,
            NAME,
            SagaContext(saga_id, at_ns),
            state="charge",
            deadline_ns=at_ns + 20 * S,
        )


async def test_a_saga_starts_and_ends_once(sagas: SqlSagas, database: Database) -> None:
    assert [True, False] == [await _start(sagas, database, "o-1") for _ in range(2)]
    async with database.engine.begin() as connection:
        assert await sagas.end(connection, NAME, "o-1", "completed", ended_ns=30 * S)
        assert not await sagas.end(connection, NAME, "o-1", "failed", ended_ns=31 * S)
        (record,) = await SagaView(sagas.tables).find(connection, "o-1")
    assert ("completed", 30 * S) == (record.outcome, record.ended_ns)
    health = await _health(sagas, database)
    assert (1, {"completed": 1, "compensated": 0, "failed": 0}, {}) == (
        health.started, health.ended, health.active,
    )  # fmt: skip


async def test_steps_begin_and_end_once_and_compensations_count_once(
    sagas: SqlSagas, database: Database
) -> None:
    await _start(sagas, database, "o-1")
    async with database.engine.begin() as connection:
        for attempts in (1, 2):
            await sagas.begin_step(
                connection, NAME, "o-1", "refund", compensation=True, attempts=attempts,
                started_ns=attempts * 10 * S,
            )  # fmt: skip
        ends = [
            await sagas.end_step(connection, NAME, "o-1", "refund", outcome="ok", ended_ns=25 * S)
            for _ in range(2)
        ]
        unknown = await sagas.end_step(connection, NAME, "o-1", "never", outcome="ok")
        (step,) = await SagaView(sagas.tables).steps(connection, NAME, "o-1")
    assert ([10 * S, None], None) == (ends, unknown)
    assert (2, 10 * S, 25 * S, "ok") == (
        step.attempts,
        step.started_ns,
        step.ended_ns,
        step.outcome,
    )
    assert {"refund": 1} == (await _health(sagas, database)).compensations


async def test_a_rolled_back_saga_leaves_no_trace(sagas: SqlSagas, database: Database) -> None:
    with pytest.raises(LookupError):
        async with database.engine.begin() as connection:
            await sagas.start(connection, NAME, SagaContext("o-1", S), state="charge")
            raise LookupError
    assert SagaHealth(ended={"completed": 0, "compensated": 0, "failed": 0}) == await _health(
        sagas, database
    )


async def test_health_reports_states_overdue_sagas_and_the_oldest(
    sagas: SqlSagas, database: Database
) -> None:
    for number in range(4):
        await _start(sagas, database, f"o-{number}", (10 + number) * S)
    async with database.engine.begin() as connection:
        await sagas.move(connection, NAME, "o-0", "ship")
        await sagas.end(connection, NAME, "o-3", "compensated")
    health = await _health(sagas, database, now_ns=32 * S)
    assert ({"charge": 2, "ship": 1}, 2, 10 * S, 4) == (
        health.active, health.overdue, health.oldest_started_ns, health.started,
    )  # fmt: skip
    async with database.engine.connect() as connection:
        view = SagaView(sagas.tables)
        overdue = await view.sagas(connection, overdue=True)
        latest = await view.sagas(connection, saga=NAME, limit=2)
    assert ["o-2", "o-1", "o-0"] == [saga.saga_id for saga in overdue]
    assert ["o-3", "o-2"] == [saga.saga_id for saga in latest]


async def test_the_longest_wait_of_each_state_does_not_restart_with_a_repeated_request(
    sagas: SqlSagas, database: Database
) -> None:
    for number in range(3):
        await _start(sagas, database, f"o-{number}", (10 + number) * S)
    again = SagaMove(saga_id="o-0", state="charge", at_ns=40 * S, begun_step="charge", attempts=2)
    shipped = SagaMove(saga_id="o-1", state="ship", at_ns=30 * S)
    async with database.engine.begin() as connection:
        await connection.run_sync(sagas.record_in, NAME, [again, shipped])
        await sagas.move(connection, NAME, "o-1", "ship", moved_ns=41 * S)
        await sagas.move(connection, NAME, "o-2", "refund", moved_ns=35 * S)
    health = await _health(sagas, database)
    assert {"charge": 10 * S, "ship": 30 * S, "refund": 35 * S} == health.moved_ns


async def test_health_is_one_statement(sagas: SqlSagas, database: Database) -> None:
    statements: list[str] = []

    def seen(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", seen)
    await _health(sagas, database)
    assert 1 == len(statements)


async def test_health_reads_only_the_index_of_active_sagas(sqlite: Database) -> None:
    sagas = SqlSagas(metadata=sqlite.metadata)
    async with sqlite.engine.begin() as connection:
        await connection.run_sync(sqlite.metadata.create_all)
        plan = await connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT state, count(*), min(started_ns) FROM saga_instances "
                "WHERE saga = 'x' AND ended_ns IS NULL AND started_ns IS NOT NULL GROUP BY state"
            )
        )
        lines = " ".join(row[-1] for row in plan)
    assert f"USING INDEX {sagas.tables.sagas.name}_active" in lines


async def test_forgetting_keeps_the_totals_unless_everything_is_forgotten(
    sagas: SqlSagas, database: Database
) -> None:
    for saga_id in ("o-1", "o-2"):
        await _start(sagas, database, saga_id)
    async with database.engine.begin() as connection:
        await sagas.begin_step(connection, NAME, "o-1", "charge")
        await sagas.end(connection, NAME, "o-1", "completed", ended_ns=20 * S)
        await sagas.forget(connection, NAME, ended_before_ns=21 * S)
        view = SagaView(sagas.tables)
        assert ["o-2"] == [saga.saga_id for saga in await view.sagas(connection)]
        assert [] == await view.steps(connection, NAME, "o-1")
    assert (2, 1) == (
        (await _health(sagas, database)).started,
        (await _health(sagas, database)).ended["completed"],
    )
    async with database.engine.begin() as connection:
        await sagas.forget(connection, NAME)
    assert 0 == (await _health(sagas, database)).started


@pytest.mark.parametrize("saga_id", ["x" * 10_000, "a\0b", "\ud800"])
async def test_any_id_can_be_stored_and_found(
    sagas: SqlSagas, database: Database, saga_id: str
) -> None:
    assert await _start(sagas, database, saga_id)
    async with database.engine.connect() as connection:
        (record,) = await SagaView(sagas.tables).find(connection, saga_id)
    assert len(record.saga_id) <= 255


async def test_concurrent_sagas_neither_deadlock_nor_lose_a_count(
    sagas: SqlSagas, database: Database
) -> None:
    async def one(number: int) -> None:
        saga_id = f"o-{number}"
        await _start(sagas, database, saga_id)
        async with database.engine.begin() as connection:
            await sagas.begin_step(connection, NAME, saga_id, "refund", compensation=True)
            await sagas.end_step(connection, NAME, saga_id, "refund", outcome="ok")
            await sagas.end(connection, NAME, saga_id, "compensated")

    await asyncio.gather(*(one(number) for number in range(60)))
    health = await _health(sagas, database)
    assert (60, 60, {"refund": 60}, {}) == (
        health.started, health.ended["compensated"], health.compensations, health.active,
    )  # fmt: skip
