from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from demo_pipeline.domain.events import Order, OrderLine
from demo_pipeline.runtime.connection_waits import ConnectionWaits
from demo_pipeline.runtime.database import open_database
from demo_pipeline.runtime.group_commit import group_commit
from demo_pipeline.runtime.scenarios import SCENARIOS
from demo_pipeline.runtime.service_context import ServiceContext
from demo_pipeline.services import SERVICES, latecomers_of, services_of
from tracing import Telemetry
from tracing.sql import SqlInbox, SqlOutbox
from tracing.sql.outbox_rows import unpack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.domain.messages import Message
    from tracing.headers.codec import Header

    OpenDatabase = Callable[[str], Awaitable[AsyncEngine]]
    OpenContext = Callable[[str], Awaitable[ServiceContext]]
    MakeOrder = Callable[..., Order]
    Handle = Callable[[AsyncEngine, str, object], Awaitable[tuple[Message, ...]]]

# Also those of single scenarios.
EVERY_SERVICE = {
    **SERVICES,
    **services_of(SCENARIOS["notification"]),
    **latecomers_of(SCENARIOS["late-joiner"]),
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_order() -> MakeOrder:
    def make(order_id: str = "o-1", *, sku: str = "kettle", quantity: int = 2) -> Order:
        return Order(
            order_id=order_id,
            user_id="user-07",
            lines=(OrderLine(sku, quantity, 4450),),
            total_cents=quantity * 4450,
            card_token="card-07",  # noqa: S106 - no secret
            ship_to="8 Harbour Street",
        )

    return make


@pytest.fixture
async def open_service_database(tmp_path: Path) -> AsyncIterator[OpenDatabase]:
    async with AsyncExitStack() as stack:

        async def opened(service: str) -> AsyncEngine:
            url = f"sqlite+aiosqlite:///{tmp_path / service}.sqlite3"
            return await stack.enter_async_context(open_database(EVERY_SERVICE[service], url))

        yield opened


@pytest.fixture
async def open_context(open_service_database: OpenDatabase) -> AsyncIterator[OpenContext]:
    async def opened(name: str) -> ServiceContext:
        telemetry, tables = Telemetry("orders", source=f"/{name}"), EVERY_SERVICE[name].tables
        database = await open_service_database(name)
        return ServiceContext(
            telemetry,
            database,
            await stack.enter_async_context(group_commit(database, ConnectionWaits(name))),
            SqlInbox(telemetry, group=name, metadata=tables),
            SqlOutbox(telemetry, service=name, metadata=tables),
            lambda _added: None,
        )

    async with AsyncExitStack() as stack:
        yield opened


async def outbox_of(context: ServiceContext) -> list[tuple[str, bytes, bytes, list[Header]]]:
    """Return the records in the outbox: topic, key, value and headers, in order."""
    table = context.outbox.table
    columns = (table.c.topic, table.c.key, table.c.value, table.c.headers)
    async with context.database.connect() as connection:
        rows = await connection.execute(select(*columns).order_by(table.c.sequence))
        return [(topic, key, value, unpack(packed)) for topic, key, value, packed in rows]


@pytest.fixture
def handle() -> Handle:
    """Call the handler of a service in a transaction of its own."""

    async def call(database: AsyncEngine, service: str, message: object) -> tuple[Message, ...]:
        handler = EVERY_SERVICE[service].handlers[type(message)]
        async with database.begin() as connection:
            return await connection.run_sync(lambda plain: handler(message, plain))

    return call
