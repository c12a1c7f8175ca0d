from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update

from tracing.replay import LogPartition, Position
from tracing.sql import Projection, SqlProjections, keep_highest, projection_tables
from tracing.sql.projection_rows import copy_rows, remove_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from tests.tracing.sql.conftest import Database

READ_MODELS = SqlProjections()
VIEW = Table(
    "view",
    READ_MODELS.tables.models.metadata,
    Column("generation", Integer, primary_key=True),
    Column("id", String(20), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("stage", Integer, nullable=False),
)


@pytest.fixture
async def read_models(database: Database) -> SqlProjections:
    async with database.engine.begin() as connection:
        await connection.run_sync(READ_MODELS.tables.models.metadata.create_all)
        await READ_MODELS.declare(connection, ["built"], fresh=True)
        await READ_MODELS.declare(connection, ["new"], fresh=False)
    return READ_MODELS


@pytest.fixture
def at(make_record: Callable[..., Any]) -> Callable[..., Any]:
    def make(offset: int, timestamp: int | None = None, partition: int = 0) -> Any:
        record = make_record(offset=offset, partition=partition)
        object.__setattr__(record, "timestamp", 1000 + offset if timestamp is None else timestamp)
        return record

    return make


async def _rows(connection: AsyncConnection) -> list[tuple[Any, ...]]:
    rows = await connection.execute(select(VIEW).order_by(VIEW.c.generation, VIEW.c.id))
    return [tuple(row) for row in rows]


async def test_a_record_is_applied_once_to_the_active_generation(
    database: Database, read_models: SqlProjections, at: Callable[..., Any]
) -> None:
    async with database.engine.begin() as connection:
        assert {"built": 1} == await read_models.advance(connection, ["built", "new"], at(3))
    async with database.engine.begin() as connection:
        assert {} == await read_models.advance(connection, ["built", "new"], at(3))
        assert {} == await read_models.advance(connection, ["built", "new"], at(1))
        assert {"built": 1} == await read_models.advance(connection, ["built", "new"], at(4))
        assert {"built": 1} == await read_models.advance(
            connection, ["built", "new"], at(0, partition=1)
        )

    async with database.engine.connect() as connection:
        expected = {LogPartition("orders", 0): Position(5, 1004), ("orders", 1): Position(1, 1000)}
        assert expected == await read_models.positions(connection, "built")
        assert expected == await read_models.positions(connection, "new")
        assert 1 == await read_models.active_generation(connection, "built")
        assert None is await read_models.active_generation(connection, "new")


async def test_a_rollback_takes_the_position_back(
    database: Database, read_models: SqlProjections, at: Callable[..., Any]
) -> None:
    with pytest.raises(LookupError):
        async with database.engine.begin() as connection:
            await read_models.advance(connection, ["built"], at(3))
            raise LookupError

    async with database.engine.begin() as connection:
        assert {"built": 1} == await read_models.advance(connection, ["built"], at(3))


async def test_a_generation_that_a_replay_built_takes_over_where_it_ends(
    database: Database, read_models: SqlProjections, at: Callable[..., Any]
) -> None:
    tables = read_models.tables
    async with database.engine.begin() as connection:
        await read_models.advance(connection, ["built"], at(3))
        await connection.execute(
            insert(tables.positions).values(
                name="built",
                generation=2,
                topic="orders",
                partition=0,
                next_offset=6,
                event_ms=1005,
            )
        )
        await connection.execute(
            update(tables.models).where(tables.models.c.name == "built").values(active=2)
        )
    async with database.engine.begin() as connection:
        assert [{}, {}, {"built": 2}] == [
            await read_models.advance(connection, ["built"], at(offset)) for offset in (4, 5, 6)
        ]


async def test_a_topic_that_was_created_again_is_followed_from_its_beginning(
    database: Database, read_models: SqlProjections, at: Callable[..., Any]
) -> None:
    async with database.engine.begin() as connection:
        await read_models.advance(connection, ["built"], at(900))
        assert {"built": 1} == await read_models.advance(connection, ["built"], at(0, 5000))
        assert {"built": 1} == await read_models.advance(connection, ["built"], at(1, 4999))
        assert {("orders", 0): Position(2, 5000)} == await read_models.positions(
            connection, "built"
        )


async def test_a_switch_waits_for_live_records_and_keeps_later_ones_out(
    database: Database, read_models: SqlProjections, at: Callable[..., Any]
) -> None:
    done: list[str] = []
    engine, models = database.engine, read_models.tables.models
    inside, leave = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with engine.begin() as connection:
            assert {"built": 1} == await read_models.advance(connection, ["built"], at(1))
            inside.set()
            await leave.wait()
            done.append("live")

    async def switch() -> None:
        await inside.wait()
        async with engine.begin() as connection:
            await connection.execute(update(models).values(seen_at=1))
            await read_models.exclude_live(connection)
            done.append("switch")
            later = asyncio.create_task(after())
            await asyncio.sleep(0)
            await connection.execute(
                update(models).where(models.c.name == "built").values(active=2)
            )
        await later

    async def after() -> None:
        async with engine.begin() as connection:
            assert {"built": 2} == await read_models.advance(connection, ["built"], at(2))
            done.append("after")

    switching = asyncio.create_task(switch())
    first = asyncio.create_task(live())
    await inside.wait()
    await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(first, switching)
    assert ["live", "switch", "after"] == done


async def test_a_name_that_is_known_is_not_declared_again(
    database: Database, read_models: SqlProjections
) -> None:
    async with database.engine.begin() as connection:
        await read_models.declare(connection, ["new", "built"], fresh=True)
        await read_models.declare(connection, [], fresh=True)
        assert None is await read_models.active_generation(connection, "new")
        assert not await read_models.is_empty(connection)


async def test_of_several_rows_with_one_key_the_highest_stays(
    database: Database, read_models: SqlProjections
) -> None:
    def row(key: str, stage: int, generation: int = 1) -> dict[str, object]:
        return {"generation": generation, "id": key, "state": f"s{stage}", "stage": stage}

    async with database.engine.begin() as connection:
        await keep_highest(connection, VIEW, [row("b", 2), row("a", 1), row("b", 1)], rank="stage")
        await keep_highest(connection, VIEW, [row("a", 3), row("b", 1)], rank="stage")
        await keep_highest(connection, VIEW, [row("a", 0, 2)], rank="stage")
        await keep_highest(connection, VIEW, [], rank="stage")
        assert [(1, "a", "s3", 3), (1, "b", "s2", 2), (2, "a", "s0", 0)] == await _rows(connection)


async def test_a_generation_is_copied_and_removed_in_bounded_steps(
    database: Database, read_models: SqlProjections
) -> None:
    rows = [{"generation": 1, "id": f"{n}", "state": "s", "stage": 1} for n in range(5)]
    async with database.engine.begin() as connection:
        await keep_highest(connection, VIEW, rows, rank="stage")
        assert 5 == await copy_rows(connection, VIEW, source=1, target=2)
        assert 0 == await copy_rows(connection, VIEW, source=1, target=2)
        assert [2, 2, 1] == [await remove_rows(connection, VIEW, 1, limit=2) for _ in range(3)]
        assert [(2, f"{n}", "s", 1) for n in range(5)] == await _rows(connection)


def test_a_read_model_needs_the_generation_in_its_key() -> None:
    table = Table("plain", MetaData(), Column("id", Integer, primary_key=True))

    async def apply(*_: object) -> None: ...

    with pytest.raises(ValueError, match="the primary key of plain needs the column 'generation'"):
        Projection("orders", ("orders",), (table,), apply)


def test_tables_are_described_once_per_metadata() -> None:
    metadata = MetaData(schema="shop")

    assert projection_tables(metadata) == projection_tables(metadata)
    assert {"shop.projection_models", "shop.projection_positions"} == set(metadata.tables)
