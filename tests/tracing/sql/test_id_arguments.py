"""Ids of other types: those with one obvious text are accepted, others are refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.tracing.sql.saga_fixtures import NAME, stored_sagas
from tracing import SagaTracker
from tracing.sql import SagaView, SqlInbox, SqlOutbox

if TYPE_CHECKING:
    from tests.tracing.sql.conftest import Database


@pytest.mark.parametrize("saga_id", [uuid4(), 7])
async def test_a_saga_is_stored_and_found_by_an_id_that_is_not_text(
    database: Database, saga_id: Any
) -> None:
    sagas = await stored_sagas(database)
    context = SagaTracker(NAME, database.telemetry).begin(saga_id)

    async with database.engine.begin() as connection:
        assert await sagas.start(connection, NAME, context, state="charge")
        await sagas.begin_step(connection, NAME, saga_id, "charge")
        assert await sagas.end_step(connection, NAME, saga_id, "charge", outcome="ok") is not None
        await sagas.move(connection, NAME, saga_id, "ship")
        view = SagaView(sagas.tables)
        (record,) = await view.find(connection, saga_id)
        (step,) = await view.steps(connection, NAME, saga_id)
        assert await sagas.end(connection, NAME, saga_id, "completed")

    assert (str(saga_id), "ship", "charge") == (record.saga_id, record.state, step.step)


async def test_an_id_without_an_obvious_text_is_refused_by_name(sqlite: Database) -> None:
    sagas = await stored_sagas(sqlite)
    saga_id: Any = b"o-1"

    async with sqlite.engine.begin() as connection:
        for call in (
            sagas.begin_step(connection, NAME, saga_id, "charge"),
            sagas.end_step(connection, NAME, saga_id, "charge", outcome="ok"),
            sagas.move(connection, NAME, saga_id, "ship"),
            sagas.end(connection, NAME, saga_id, "completed"),
            SagaView(sagas.tables).find(connection, saga_id),
        ):
            with pytest.raises(TypeError, match=r"saga_id must be a str.*: decode it"):
                await call


def test_names_must_be_text(sqlite: Database) -> None:
    number: Any = 5

    with pytest.raises(TypeError, match="group must be a str"):
        SqlInbox(sqlite.telemetry, group=number)
    with pytest.raises(TypeError, match="service must be a str"):
        SqlOutbox(sqlite.telemetry, service=number)
