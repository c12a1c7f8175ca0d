"""Fixtures: databases on SQLite and PostgreSQL, an in-memory broker and captured telemetry."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiokafka.structs import ConsumerRecord
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    text,
)  # fmt: skip
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.brokers import unavailable
from tests.tracing.sql.postgres import HOW_TO_GET_IT, binaries, postgres
from tracing import Telemetry, TracedProducer
from tracing.sql import SqlInbox, SqlOutbox, Transactions
from tracing.testing import Capture, InMemoryBroker, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

TABLES = MetaData()
EFFECTS = Table(
    "effects",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("what", String(64), nullable=False),
)


class Database:
    """An engine with an inbox, an outbox and a table for effects in its own database."""

    def __init__(self, engine: AsyncEngine, telemetry: Telemetry) -> None:
        self.engine = engine
        metadata = MetaData()
        EFFECTS.to_metadata(metadata)
        self.metadata = metadata
        self.telemetry = telemetry
        self.inbox = SqlInbox(telemetry, group="shipping", metadata=metadata)
        self.outbox = SqlOutbox(telemetry, service="orders", metadata=metadata)

    async def count(self, table: str) -> int:
        """Return the number of rows in a table."""
        async with self.engine.connect() as connection:
            return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608 - our own name

    async def add(self, *values: bytes, topic: str = "orders", key: bytes | None = b"k") -> None:
        """Put records into the outbox, in one transaction."""
        async with self.engine.begin() as connection:
            for value in values:
                await self.outbox.add(connection, topic, value, key=key)


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture("orders") as capture:
        yield capture


@pytest.fixture
def telemetry(capture: Capture) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        logger_provider=capture.logger_provider,
        source="/orders",
    )


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    folder = binaries()
    if folder is None:
        unavailable(HOW_TO_GET_IT)
    with postgres(folder) as url:
        yield url


def sqlite_engine(file: Path) -> AsyncEngine:
    """Return an engine as a service with SQLite should use it: one connection, so no lock waits."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{file}", pool_size=1, max_overflow=0, connect_args={"timeout": 30}
    )

    def write_ahead(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")

    event.listen(engine.sync_engine, "connect", write_ahead)
    return engine


@asynccontextmanager
async def own_database(url: str) -> AsyncIterator[str]:
    """Create a database on a server, and drop it at the end."""
    name = f"test_{uuid4().hex}"
    admin = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with admin.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        yield url.rpartition("/")[0] + "/" + name
        async with admin.connect() as connection:
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        await admin.dispose()


@asynccontextmanager
async def opened(engine: AsyncEngine, telemetry: Telemetry) -> AsyncIterator[Database]:
    """Create the tables of a database, and dispose of the engine at the end."""
    try:
        database = Database(engine, telemetry)
        async with engine.begin() as connection:
            await connection.run_sync(database.metadata.create_all)
        yield database
    finally:
        await engine.dispose()


def plain_engine(database: Database) -> Engine:
    """Return a plain engine on the file of an SQLite database."""
    return create_engine(f"sqlite:///{database.engine.url.database}")


@asynccontextmanager
async def one_hop(database: Database) -> AsyncIterator[Transactions]:
    """Return transactions in a thread on SQLite, and on the asyncio connection on PostgreSQL."""
    if database.engine.dialect.name == "postgresql":
        async with Transactions(database.engine) as transactions:
            yield transactions
        return
    engine = plain_engine(database)
    try:
        async with Transactions(engine) as transactions:
            yield transactions
    finally:
        engine.dispose()


@pytest.fixture
async def sqlite(tmp_path: Path, telemetry: Telemetry) -> AsyncIterator[Database]:
    async with opened(sqlite_engine(tmp_path / "test.sqlite3"), telemetry) as database:
        yield database


@pytest.fixture
async def postgresql(postgres_url: str, telemetry: Telemetry) -> AsyncIterator[Database]:
    async with (
        own_database(postgres_url) as url,
        opened(create_async_engine(url), telemetry) as database,
    ):
        yield database


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)],
)
async def database(
    request: pytest.FixtureRequest, tmp_path: Path, telemetry: Telemetry
) -> AsyncIterator[Database]:
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            engine = sqlite_engine(tmp_path / "test.sqlite3")
        else:
            server = request.getfixturevalue("postgres_url")
            engine = create_async_engine(await stack.enter_async_context(own_database(server)))
        yield await stack.enter_async_context(opened(engine, telemetry))


@pytest.fixture
def broker() -> InMemoryBroker:
    return InMemoryBroker()


@pytest.fixture
async def producer(broker: InMemoryBroker, telemetry: Telemetry) -> AsyncIterator[TracedProducer]:
    async with TracedProducer(InMemoryProducer(broker), telemetry) as producer:
        yield producer


@pytest.fixture
def make_record() -> Callable[..., ConsumerRecord[Any, Any]]:
    def make(
        *headers: tuple[str, Any], topic: str = "orders", partition: int = 0, offset: int = 0
    ) -> ConsumerRecord[Any, Any]:
        return ConsumerRecord(
            topic=topic,
            partition=partition,
            offset=offset,
            timestamp=0,
            timestamp_type=0,
            key=b"k",
            value=b"v",
            checksum=None,
            serialized_key_size=1,
            serialized_value_size=1,
            headers=headers,
        )

    return make
