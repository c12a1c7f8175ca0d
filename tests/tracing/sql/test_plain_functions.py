"""Sagas and read models written by plain functions are those written by the async methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Connection, Integer, String, Table, event, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.tracing.sql.conftest import Database, one_hop
from tests.tracing.sql.saga_fixtures import NAME, S, rows
from tracing import FlowEvent, SagaContext, SagaHistory
from tracing.sql import (
    Projection,
    SqlProjections,
    SqlSagaLog,
    SqlSagas,
    keep_highest,
    keep_highest_in,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import MetaData

LONG = "o" * 300


async def create(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.run_sync(database.metadata.create_all)


def plain_saga(connection: Connection, sagas: SqlSagas, saga_id: str) -> list[Any]:
    context = SagaContext(saga_id, 10 * S)
    answers: list[Any] = [
        sagas.start_in(connection, NAME, context, state="charge", deadline_ns=20 * S)
        for _ in range(2)
    ]
    for attempts in (1, 2):
        sagas.begin_step_in(
            connection, NAME, saga_id, "refund", compensation=True, attempts=attempts,
            started_ns=attempts * S,
        )  # fmt: skip
    answers += [
        sagas.end_step_in(connection, NAME, saga_id, step, outcome="ok", ended_ns=12 * S)
        for step in ("refund", "refund", "never")
    ]
    sagas.move_in(connection, NAME, saga_id, "refund", reason="a\0b" + "c" * 500, moved_ns=13 * S)
    sagas.move_in(connection, NAME, saga_id, "release", moved_ns=14 * S)
    if saga_id != "o-2":
        answers += [
            sagas.end_in(connection, NAME, saga_id, outcome, ended_ns=15 * S)
            for outcome in ("compensated", "failed")
        ]  # fmt: skip
    sagas.move_in(connection, NAME, saga_id, "too late", moved_ns=16 * S)
    return answers


async def async_saga(connection: AsyncConnection, sagas: SqlSagas, saga_id: str) -> list[Any]:
    context = SagaContext(saga_id, 10 * S)
    answers: list[Any] = [
        await sagas.start(connection, NAME, context, state="charge", deadline_ns=20 * S)
        for _ in range(2)
    ]
    for attempts in (1, 2):
        await sagas.begin_step(
            connection, NAME, saga_id, "refund", compensation=True, attempts=attempts,
            started_ns=attempts * S,
        )  # fmt: skip
    answers += [
        await sagas.end_step(connection, NAME, saga_id, step, outcome="ok", ended_ns=12 * S)
        for step in ("refund", "refund", "never")
    ]
    await sagas.move(
        connection, NAME, saga_id, "refund", reason="a\0b" + "c" * 500, moved_ns=13 * S
    )
    await sagas.move(connection, NAME, saga_id, "release", moved_ns=14 * S)
    if saga_id != "o-2":
        answers += [
            await sagas.end(connection, NAME, saga_id, outcome, ended_ns=15 * S)
            for outcome in ("compensated", "failed")
        ]  # fmt: skip
    await sagas.move(connection, NAME, saga_id, "too late", moved_ns=16 * S)
    return answers


async def test_sagas_of_plain_functions_are_those_of_the_async_methods(
    database: Database,
) -> None:
    one = SqlSagas(metadata=database.metadata, prefix="one")
    two = SqlSagas(metadata=database.metadata, prefix="two")
    await create(database)
    for saga_id in ("o-1", "o-2", LONG):
        async with one_hop(database) as transactions:
            answers = await transactions.run(plain_saga, one, saga_id)
            health = await one.on(transactions).health(NAME, 30 * S)
        async with database.engine.begin() as connection:
            assert await async_saga(connection, two, saga_id) == answers
        assert await two.on(database.engine).health(NAME, 30 * S) == health
        assert [True, False, S, None, None] == answers[:5]

    stored = await rows(database, one.tables, NAME)
    others = await rows(database, two.tables, NAME)
    assert list(others.values()) == list(stored.values())
    assert 3 == len(stored[one.tables.sagas.name])

    async with one_hop(database) as transactions:
        await transactions.run(one.forget_in, NAME)
    assert [[], [], []] == list((await rows(database, one.tables, NAME)).values())


@pytest.mark.parametrize("reason", [None, "declined"])
async def test_saga_statements_are_compiled_once(sqlite: Database, reason: str | None) -> None:
    sagas = SqlSagas(metadata=sqlite.metadata)
    await create(sqlite)
    compiled: list[str] = []

    def executed(
        _connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: Any
    ) -> None:
        if context.cache_hit.name != "CACHE_HIT":
            compiled.append(statement)

    def work(connection: Connection, saga_id: str) -> None:
        sagas.start_in(connection, NAME, SagaContext(saga_id, S), state="charge")
        sagas.begin_step_in(connection, NAME, saga_id, "charge")
        sagas.end_step_in(connection, NAME, saga_id, "charge", outcome="rejected")
        sagas.move_in(connection, NAME, saga_id, "refund", reason=reason)
        sagas.end_in(connection, NAME, saga_id, "failed", reason=reason)

    async with one_hop(sqlite) as transactions:
        event.listen(transactions.engine, "before_cursor_execute", executed)
        for number in range(3):
            await transactions.run(work, f"o-{number}")
    # A start, a total, a begin, an end of a step, a move, an end.
    assert 6 == len(compiled)


def seen(at_s: int, **values: Any) -> FlowEvent:
    rest: dict[str, Any] = {"starts": False, "step": None, "outcome": None, **values}
    return FlowEvent(saga_id="o-1", at_ns=at_s * S, **rest)


async def store_all(log: SqlSagaLog, events: list[FlowEvent]) -> list[SagaHistory | None]:
    return [
        await log.note(
            NAME,
            each,
            context=SagaContext("o-1", each.at_ns) if each.starts else None,
            deadline_ns=40 * S if each.starts else None,
        )
        for each in events
    ]


async def test_a_flow_observed_in_a_thread_is_the_one_observed_on_the_event_loop(
    database: Database,
) -> None:
    one = SqlSagaLog(database.engine, metadata=database.metadata, prefix="one")
    SqlSagas(metadata=database.metadata, prefix="two")
    await create(database)
    events = [
        seen(30, outcome="completed"), seen(20, step="pay"), seen(10, starts=True),
        seen(15, step="pay"), seen(25, step="ship"),
    ]  # fmt: skip
    async with one_hop(database) as transactions:
        two = SqlSagaLog(transactions, metadata=database.metadata, prefix="two")
        histories = [await store_all(log, events) for log in (one, two)]
        assert await one.health(NAME, 50 * S) == await two.health(NAME, 50 * S)
        assert histories[0] == histories[1]
        assert 2 == len([each for each in histories[0] if each is not None])
        stored = [await rows(database, log.tables, NAME) for log in (one, two)]
        assert list(stored[0].values()) == list(stored[1].values())
        await two.forget(NAME)
    assert [[], [], []] == list((await rows(database, two.tables, NAME)).values())


def view(metadata: MetaData, name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("generation", Integer, primary_key=True),
        Column("id", String(20), primary_key=True),
        Column("state", String(20), nullable=False),
        Column("stage", Integer, nullable=False),
    )


def view_rows(generation: int, events: Any) -> list[dict[str, Any]]:
    return [
        {"generation": generation, "id": "o", "state": f"at {stage}", "stage": stage}
        for stage in events
    ]


async def test_read_models_of_plain_functions_are_those_of_the_async_methods(
    database: Database, make_record: Callable[..., Any]
) -> None:
    one = SqlProjections(metadata=database.metadata, prefix="one")
    two = SqlProjections(metadata=database.metadata, prefix="two")
    views = [view(database.metadata, name) for name in ("view_one", "view_two")]
    await create(database)

    def apply_in(connection: Connection, generation: int, events: Any) -> None:
        keep_highest_in(connection, views[0], view_rows(generation, events), rank="stage")

    async def apply(connection: AsyncConnection, generation: int, events: Any) -> None:
        await keep_highest(connection, views[1], view_rows(generation, events), rank="stage")

    plain = Projection.plain("orders", ("orders",), (views[0],), apply_in)
    other = Projection("orders", ("orders",), (views[1],), apply)
    assert plain.apply_in is apply_in
    async with database.engine.begin() as connection:
        for read_models in (one, two):
            await read_models.declare(connection, ["orders"], fresh=True)
            await read_models.declare(connection, ["new"], fresh=False)

    def work(connection: Connection, record: Any, stages: list[int]) -> dict[str, int]:
        generations = one.advance_in(connection, ["orders", "new"], record)
        if generations:
            apply_in(connection, generations["orders"], stages)
        return generations

    async with one_hop(database) as transactions:
        for offset, stages in ((0, [2, 1]), (1, [1]), (1, [9]), (2, [3]), (3, [])):
            record = make_record(offset=offset)
            generations = await transactions.run(work, record, stages)
            async with database.engine.begin() as connection:
                expected = await two.advance(connection, ["orders", "new"], record)
                if expected:
                    await other.apply(connection, expected["orders"], stages)
            assert expected == generations

    async with database.engine.begin() as connection:
        assert await two.positions(connection, "orders") == await one.positions(
            connection, "orders"
        )
        # A replay applies through the asyncio connection.
        await plain.apply(connection, 7, [4])
        stored = [[tuple(row) for row in await connection.execute(select(each))] for each in views]
    assert [(1, "o", "at 3", 3)] == stored[1]
    assert [(1, "o", "at 3", 3), (7, "o", "at 4", 4)] == sorted(stored[0])
