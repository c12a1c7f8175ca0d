"""Looking at stored sagas: what is listed is what there is, and is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tracing.sql.saga_books import NAME, S, noted, saga_log, stored_sagas, whole_life
from tracing import FlowEvent, SagaContext
from tracing.sql import SagaView

if TYPE_CHECKING:
    from tests.tracing.sql.conftest import Database


@pytest.mark.parametrize("saga_id", ["x" * 300, "a\0b", "sha256:own"], ids=range(3))
async def test_what_a_view_lists_it_finds_again(database: Database, saga_id: str) -> None:
    sagas = await stored_sagas(database)
    async with database.engine.begin() as connection:
        await whole_life(sagas, connection, saga_id)
        view = SagaView(sagas.tables)
        (listed,) = await view.sagas(connection)

        assert [listed] == await view.find(connection, listed.saga_id)
        assert 3 == len(await view.steps(connection, listed.saga, listed.saga_id))


async def test_the_context_of_a_listed_saga_knows_its_id_as_it_was(database: Database) -> None:
    sagas = await stored_sagas(database)
    async with database.engine.begin() as connection:
        await whole_life(sagas, connection, "a\0b")
        (listed,) = await SagaView(sagas.tables).sagas(connection)

    assert SagaContext("a\0b", 10 * S) == listed.context


async def _with_a_stray(database: Database) -> SagaView:
    """Two instances that have started, and one of which a step alone was seen."""
    log = await saga_log(database)
    for number in (1, 2):
        begun = FlowEvent(
            saga_id=f"o-{number}", at_ns=number * S, starts=True, step=None, outcome=None
        )
        await noted(log, NAME, begun)
    stray = FlowEvent(saga_id="stray", at_ns=S, starts=False, step="shipped", outcome=None)
    await noted(log, NAME, stray)
    return SagaView(log.tables)


async def test_sagas_are_listed_the_last_started_first_on_sqlite(sqlite: Database) -> None:
    view = await _with_a_stray(sqlite)
    async with sqlite.engine.connect() as connection:
        found = await view.sagas(connection)

    assert ["o-2", "o-1", "stray"] == [saga.saga_id for saga in found]


async def test_sagas_are_listed_the_last_started_first_on_postgresql(postgresql: Database) -> None:
    view = await _with_a_stray(postgresql)
    async with postgresql.engine.connect() as connection:
        found = await view.sagas(connection, limit=2)

    assert ["o-2", "o-1"] == [saga.saga_id for saga in found]


async def test_what_is_active_for_health_is_active_for_a_view(database: Database) -> None:
    view = await _with_a_stray(database)
    log = await saga_log(database)
    async with database.engine.connect() as connection:
        found = await view.sagas(connection, active=True)

    assert sum((await log.health(NAME, 0)).active.values()) == len(found)
