"""One database per service: SQLite by default, whatever a URL names otherwise."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InvalidRequestError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.ext.asyncio import create_async_engine

import tracing
from demo_pipeline.runtime.errors import DemoError, UsageError
from demo_pipeline.runtime.private_files import make_private_file
from tracing.sql import inbox_table, outbox_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from demo_pipeline.runtime.service import Service

_INSERTS: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_BUSY_S: Final = 30
_MAX_PORT: Final = 65_535
# Eight services and their replicas share a server that takes a hundred connections by default.
_POOL: Final = {"pool_size": 2, "max_overflow": 3}
_SETTING_UP: Final = 0x64656D6F
_DELAYS: Final = tracing.Retry(delay_s=0.2, max_delay_s=5.0)

_logger = logging.getLogger("demo_pipeline.database")


def database_url(service: str, folder: Path) -> str:
    """The URL of a service's database: `ORDERS_DATABASE_URL` and so on, else a file in `folder`.

    It comes from the environment alone, because it may hold a password.
    """
    file = folder / f"{service}.sqlite3"
    return os.environ.get(f"{service.upper()}_DATABASE_URL") or f"sqlite+aiosqlite:///{file}"


@asynccontextmanager
async def open_database(service: Service, url: str) -> AsyncIterator[AsyncEngine]:
    """Connect to a service's database, with its tables and first contents in place.

    Beside the service's own tables there are those of its inbox and its outbox. A file that is
    made is for its owner alone, and so are those that SQLite makes beside it.

    Raises:
        UsageError: The URL names no database that can be used here.
        DemoError: The database does not answer, or does not take the tables.
    """
    engine = _engine(service.name, url)
    inbox_table(service.tables)
    outbox_table(service.tables)
    try:
        await _set_up(service, engine)
        yield engine
    finally:
        await engine.dispose()


async def _set_up(service: Service, engine: AsyncEngine) -> None:
    try:
        file = _file(engine)
        if file is not None:
            make_private_file(file)
        await _try_options(service.name, engine)
        async with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # Two replicas that start on an empty database would make the same tables.
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_SETTING_UP})"))
            await connection.run_sync(service.tables.create_all)
            if service.fill is not None:
                await service.fill(connection)
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise DemoError(
            f"the database of {service.name} cannot be used ({type(cause).__name__}): is it "
            f"there, and is {service.name.upper()}_DATABASE_URL right?"
        ) from error


@asynccontextmanager
async def existing_database(service: str, url: str) -> AsyncIterator[AsyncEngine]:
    """Connect to a service's database, to look into it. Nothing is made that is not there.

    Raises:
        UsageError: There is no such database, or it is none of that service.
    """
    engine = _engine(service, url)
    if _is_missing(engine):
        await engine.dispose()
        raise UsageError(
            f"there is no file {engine.url.database}: go to the folder in which "
            f"`serve {service}` runs, or that `run --databases` names, or name its database in "
            f"{service.upper()}_DATABASE_URL"
        )
    try:
        await _try_options(service, engine)
        yield engine
    except (SQLAlchemyError, OSError) as error:
        raise DemoError(
            f"the database of {service} cannot be read ({type(error).__name__}); is it the right "
            f"one, and did `serve {service}` ever run on it?"
        ) from error
    finally:
        await engine.dispose()


async def _try_options(service: str, engine: AsyncEngine) -> None:
    """Connect once: only then the driver says which options of a URL it does not take.

    Raises:
        UsageError: The driver does not take one.
    """
    try:
        async with engine.connect():
            pass
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{service.upper()}_DATABASE_URL has an address or an option that its driver does not "
            f"take ({type(error).__name__}); asyncpg calls sslmode ssl, for example"
        ) from None


async def insert_once(connection: AsyncConnection, table: Table, **values: object) -> bool:
    """Insert a row unless its key is there already; tell whether it was inserted."""
    insert = _INSERTS[connection.dialect.name]
    result = await connection.execute(insert(table).values(**values).on_conflict_do_nothing())
    return bool(result.rowcount)


def is_away(error: Exception, *, connected: bool) -> bool:
    """Whether an error says that the database is away, and not that something is wrong in it.

    Args:
        error: What was raised.
        connected: Whether there was a connection; without, drivers raise whatever they like.
    """
    if not connected:
        return True
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, OperationalError)


async def outlast(failures: int, error: Exception) -> None:
    """Wait before it is tried again, after so many failures in a row; say so at the first."""
    if failures == 1:
        # Without its text, which may hold what was to be stored.
        _logger.warning("waiting for the database, which is away (%s)", type(error).__name__)
    await asyncio.sleep(_DELAYS.delay_after(failures))


def _is_missing(engine: AsyncEngine) -> bool:
    """Whether SQLite would make a new, empty file."""
    file = _file(engine)
    return engine.url.get_backend_name() == "sqlite" and not (file and file.is_file())


def _file(engine: AsyncEngine) -> Path | None:
    """The file of an SQLite database, where it has one that a plain path names."""
    path = engine.url.database or ""
    if engine.url.get_backend_name() != "sqlite" or path.startswith((":memory:", "file:")):
        return None
    return Path(path) if path else None


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
        # SQLite has one writer at a time: with one connection, tasks queue for it here instead of
        # failing on a locked database.
        engine = create_async_engine(
            url,
            pool_size=1,
            max_overflow=0,
            connect_args={"timeout": _BUSY_S},
            # Errors are logged, and what is stored is about customers.
            hide_parameters=True,
        )
    except (
        ArgumentError,
        InvalidRequestError,
        NoSuchModuleError,
        ModuleNotFoundError,
        ValueError,
    ) as error:
        # Without the error's own text, which may repeat the URL.
        raise UsageError(
            f"{variable} names no usable database ({type(error).__name__}): write "
            "sqlite+aiosqlite:///FILE or postgresql+asyncpg://HOST/NAME and install the driver"
        ) from None
    event.listen(engine.sync_engine, "connect", _write_ahead)
    return engine


def _write_ahead(connection: Any, _record: object) -> None:
    # One flush per checkpoint instead of several per commit; a crash may cost power-loss safety,
    # which a demo can do without.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
