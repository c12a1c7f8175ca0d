"""Listing stored sagas: the listing is complete, and each listed saga can be found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tracing.sql.saga_fixtures import (
    NAME,
    S,
    compensated_saga,
    saga_log,
    store_events,
    stored_sagas,
)
from tracing import FlowEvent, SagaContext
from tracing.sql import SagaView

if TYPE_CHECKING:
    from tests.tracing.sql.conftest import Database


@pytest.mark.parametrize("saga_id", ["x" * 300, "a\0b", "sha256:own"], ids=range(3))
async def test_a_view_finds_what_it_lists(database: Database, saga_id: str) -> None:
    sagas = await stored_sagas(database)
    async with database.engine.begin() as connection:
        await compensated_saga(sagas, connection, saga_id)
        view = SagaView(sagas.tables)
        (listed,) = await view.sagas(connection)

        assert [listed] == await view.find(connection, listed.saga_id)
        assert 3 == len(await view.steps(connection, listed.saga, listed.saga_id))


async def test_the_context_of_a_listed_saga_has_the_original_id(database: Database) -> None:
    sagas = await stored_sagas(database)
    async with database.engine.begin() as connection:
        await compensated_saga(sagas, connection, "a\0b")
        (listed,) = await SagaView(sagas.tables).sagas(connection)

    assert SagaContext("a\0b", 10 * S) == listed.context


async def _with_a_stray(database: Database) -> SagaView:
    """Store two instances that have started, and one of which only a step is known."""
    log = await saga_log(database)
    for number in (1, 2):
        begun = FlowEvent(
            saga_id=f"o-{number}", at_ns=number * S, starts=True, step=None, outcome=None
        )
        await store_events(log, NAME, begun)
    stray = FlowEvent(saga_id="stray", at_ns=S, starts=False, step="shipped", outcome=None)
    await store_events(log, NAME, stray)
    return SagaView(log.tables)


async def test_sagas_are_listed_latest_start_first_on_sqlite(sqlite: Database) -> None:
    view = await _with_a_stray(sqlite)
    async with sqlite.engine.connect() as connection:
        sagas = await view.sagas(connection)

    assert ["o-2", "o-1", "stray"] == [saga.saga_id for saga in sagas]


async def test_sagas_are_listed_latest_start_first_on_postgresql(postgresql: Database) -> None:
    view = await _with_a_stray(postgresql)
    async with postgresql.engine.connect() as connection:
        sagas = await view.sagas(connection, limit=2)

    assert ["o-2", "o-1"] == [saga.saga_id for saga in sagas]


async def test_health_and_view_agree_on_active_sagas(database: Database) -> None:
    view = await _with_a_stray(database)
    log = await saga_log(database)
    async with database.engine.connect() as connection:
        sagas = await view.sagas(connection, active=True)

    assert sum((await log.health(NAME, 0)).active.values()) == len(sagas)
