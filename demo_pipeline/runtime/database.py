"""One database per service: SQLite by default, or the one that a URL names."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    InvalidRequestError,
    NoSuchModuleError,
    SQLAlchemyError,
)
from sqlalchemy.ext.asyncio import create_async_engine

from demo_pipeline.runtime.errors import DemoError, UsageError
from demo_pipeline.runtime.private_files import make_private_file
from demo_pipeline.runtime.sqlite_files import ONE_CONNECTION, file_of, write_ahead
from tracing.sql import inbox_table, outbox_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection, Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from demo_pipeline.runtime.service import Service

_INSERTS: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_MAX_PORT: Final = 65_535
# Eight services and their replicas share a server that allows 100 connections by default.
_POOL: Final = {"pool_size": 2, "max_overflow": 3}
_SETTING_UP: Final = 0x64656D6F
_OWN_DRIVER: Final = "aiosqlite"


def database_url(service: str, folder: Path) -> str:
    """Return the URL of a service's database, by default of a file in `folder`.

    Another one comes from `ORDERS_DATABASE_URL` and so on: from the environment alone, because it
    may hold a password.
    """
    file = folder / f"{service}.sqlite3"
    return os.environ.get(f"{service.upper()}_DATABASE_URL") or f"sqlite+aiosqlite:///{file}"


@asynccontextmanager
async def open_database(
    service: Service, url: str, *, late: bool = False
) -> AsyncIterator[AsyncEngine]:
    """Connect to a service's database; create its tables and initial rows where they are missing.

    The tables of the inbox and the outbox are created as well. New files can be read by their
    owner alone, those that SQLite creates beside them included.

    Args:
        service: The service.
        url: Its database.
        late: Whether the service's group may have passed records already: what came of them is
            missing from a new database.

    Raises:
        UsageError: The URL names no supported database.
        DemoError: The database does not answer, or refuses the tables.
    """
    engine = _engine(service.name, url)
    inbox_table(service.tables)
    outbox_table(service.tables)
    try:
        await _set_up(service, engine, late=late)
        yield engine
    finally:
        await engine.dispose()


async def _set_up(service: Service, engine: AsyncEngine, *, late: bool) -> None:
    fill = service.fill_late if late and service.fill_late is not None else service.fill
    try:
        file = file_of(engine)
        if file is not None:
            make_private_file(file)
        await _try_options(service.name, engine)
        async with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # Two replicas that start on an empty database would create the same tables.
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_SETTING_UP})"))
            await connection.run_sync(service.tables.create_all)
            if fill is not None:
                await connection.run_sync(fill)
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise DemoError(
            f"cannot use the database of {service.name} ({type(cause).__name__}): is it "
            f"running, and is {service.name.upper()}_DATABASE_URL right?"
        ) from error


@asynccontextmanager
async def existing_database(service: str, url: str) -> AsyncIterator[AsyncEngine]:
    """Connect to a service's database to read it; nothing is created.

    Raises:
        UsageError: There is no such database.
        DemoError: It cannot be read, or belongs to another service.
    """
    engine = _engine(service, url)
    if _is_missing(engine):
        await engine.dispose()
        raise UsageError(
            f"there is no file {engine.url.database}: change to the folder in which "
            f"`serve {service}` runs, or to the folder of `run --databases`, or set "
            f"{service.upper()}_DATABASE_URL"
        )
    try:
        await _try_options(service, engine)
        yield engine
    except (SQLAlchemyError, OSError) as error:
        raise DemoError(
            f"cannot read the database of {service} ({type(error).__name__}): is it the right "
            f"one, and has `serve {service}` run on it?"
        ) from error
    finally:
        await engine.dispose()


async def _try_options(service: str, engine: AsyncEngine) -> None:
    """Connect once: only then does the driver check the options of a URL.

    Raises:
        UsageError: The driver refuses an option.
    """
    try:
        async with engine.connect():
            pass
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{service.upper()}_DATABASE_URL has an address or an option that its driver does not "
            f"accept ({type(error).__name__}); asyncpg calls sslmode ssl, for example"
        ) from None


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Yield a connection whose queries all see the database at one moment; it must not write."""
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Without it, the driver lets every query see the database anew.
            await connection.exec_driver_sql("BEGIN")
        else:
            await connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def insert_once(connection: Connection, table: Table, **values: object) -> bool:
    """Insert a row unless its key exists; return whether it was inserted."""
    statement = _insert_once(connection.dialect.name, table)
    return bool(connection.execute(statement, values).rowcount)


@cache
def _insert_once(dialect: str, table: Table) -> Any:
    # Made once: that costs more than executing it.
    return _INSERTS[dialect](table).on_conflict_do_nothing()


def _is_missing(engine: AsyncEngine) -> bool:
    """Return whether SQLite would create a new, empty file."""
    file = file_of(engine)
    return engine.url.get_backend_name() == "sqlite" and not (file and file.is_file())


def _engine(service: str, url: str) -> AsyncEngine:
    variable = f"{service.upper()}_DATABASE_URL"
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if backend not in _INSERTS:
            raise UsageError(f"{variable}: {backend} is not supported, use {' or '.join(_INSERTS)}")
        if parsed.port is not None and not 0 < parsed.port <= _MAX_PORT:
            raise UsageError(f"{variable}: there is no port {parsed.port}")
        if backend != "sqlite":
            return create_async_engine(url, hide_parameters=True, **_POOL)
        engine = create_async_engine(url, **ONE_CONNECTION)
    except (
        ArgumentError,
        InvalidRequestError,
        NoSuchModuleError,
        ModuleNotFoundError,
        ValueError,
    ) as error:
        if getattr(error, "name", None) == _OWN_DRIVER:
            # The command line says what installs it.
            raise
        # Without the error's text, which may repeat the URL.
        raise UsageError(
            f"{variable} names no usable database ({type(error).__name__}): write "
            "sqlite+aiosqlite:///FILE or postgresql+asyncpg://HOST/NAME and install the driver"
        ) from None
    event.listen(engine.sync_engine, "connect", write_ahead)
    return engine
