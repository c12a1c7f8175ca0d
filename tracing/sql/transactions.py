"""Transactions that are one plain function, which runs whole in one thread hop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from contextvars import copy_context
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from tracing.messaging.waiting import waited_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType
    from typing import Self

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncConnection

P = ParamSpec("P")
Result = TypeVar("Result")


class Transactions:
    """Runs plain functions in transactions, each function whole.

    With an asyncio driver for SQLite, each statement goes from the event loop to a thread and back,
    three times or more. With a plain engine, a whole transaction goes there and back once::

        def place(connection: Connection, record: ConsumerRecord) -> None:
            if inbox.accept_in(connection, record):
                ...  # the effect
                outbox.add_in(connection, "payments", value, key=order_id)

        transactions = Transactions(create_engine("sqlite:///orders.sqlite3"))
        await transactions.run(place, record)

    On an `AsyncEngine` the same functions run by SQLAlchemy's `run_sync`, in the event loop's
    thread. They must block on nothing but the connection.

    Args:
        engine: The database. It stays the caller's, who disposes of it after `close`.
        threads: How many transactions run at once on a plain engine. SQLite has one writer at a
            time, so one thread is right: others would wait for its lock.
        resource: As what handlers report their waits for a thread and a connection, such as
            `database`; see `tracing.waiting_for`. A wait that ends without a connection counts,
            too. Report these waits only here: one that is also reported elsewhere counts twice. By
            default they report none.

    Raises:
        ValueError: `threads` is not positive.

    Task safety: any number of tasks of one event loop.
    """

    def __init__(
        self, engine: Engine | AsyncEngine, *, threads: int = 1, resource: str | None = None
    ) -> None:
        self._engine = engine
        self._resource = resource
        if threads < 1:
            raise ValueError(f"threads must be positive, not {threads!r}")
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="transactions")

    @property
    def engine(self) -> Engine | AsyncEngine:
        """The database."""
        return self._engine

    async def run(
        self,
        work: Callable[Concatenate[Connection, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Call a function with a connection inside a transaction; commit when it returns.

        What it raises rolls the transaction back. A task that is cancelled waits until the
        function has returned; its transaction is rolled back, unless it is being committed already.

        On a plain engine, the function runs in a thread, with a copy of the task's context. So the
        current span is the same, and context variables that the function sets are lost.

        Args:
            work: The function.
            args: Its further arguments.
            kwargs: Its keyword arguments.

        Returns:
            What the function returns.
        """
        engine = self._engine
        if isinstance(engine, AsyncEngine):
            return await self._on_driver(engine, engine.begin, work, *args, **kwargs)
        return await self._in_thread(engine.begin, work, *args, **kwargs)

    async def read(
        self,
        work: Callable[Concatenate[Connection, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Call a function that only reads: like `run`, without the commit."""
        engine = self._engine
        if isinstance(engine, AsyncEngine):
            return await self._on_driver(engine, engine.connect, work, *args, **kwargs)
        return await self._in_thread(engine.connect, work, *args, **kwargs)

    async def _on_driver(
        self,
        engine: AsyncEngine,
        connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]],
        work: Callable[Concatenate[Connection, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        cancelled = False
        asked = perf_counter()

        async def transaction() -> Result:
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(connect())
                finally:
                    self._waited_since(asked)
                result = await connection.run_sync(work, *args, **kwargs)
                if cancelled:
                    raise _CancelledInThread
                return result

        if engine.dialect.name != "sqlite":
            return await transaction()
        # A task that was interrupted within a statement would leave its connection to the driver's
        # thread, with an open transaction that locks the file.
        running = asyncio.create_task(transaction())
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled = True
            await _ended(running)
            raise

    async def _in_thread(
        self,
        connect: Callable[[], AbstractContextManager[Connection]],
        work: Callable[Concatenate[Connection, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        cancelled = Event()
        asked = perf_counter()

        def transaction() -> Result:
            with ExitStack() as stack:
                try:
                    if cancelled.is_set():
                        raise _CancelledInThread
                    connection = stack.enter_context(connect())
                finally:
                    self._waited_since(asked)
                result = work(connection, *args, **kwargs)
                if cancelled.is_set():
                    raise _CancelledInThread
                return result

        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._executor, copy_context().run, transaction)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled.set()
            await _ended(running)
            raise

    def _waited_since(self, asked: float) -> None:
        if self._resource is not None:
            waited_for(self._resource, perf_counter() - asked)

    async def close(self) -> None:
        """Wait for the transactions that run, and end the threads. Nothing runs afterwards."""
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()


class _CancelledInThread(Exception):  # noqa: N818 - a signal, not an error
    """Rolls a transaction back whose task was cancelled."""


async def _ended(running: asyncio.Future[Result]) -> None:
    """Wait until a thread's work has ended, also if the task is cancelled again."""
    while not running.done():
        try:
            await asyncio.wait((running,))
        except asyncio.CancelledError:
            continue
    if not running.cancelled():
        running.exception()


def transactions_on(engine: AsyncEngine | Transactions) -> Transactions:
    """Return the transactions of a database; those on an `AsyncEngine` need not be closed."""
    return engine if isinstance(engine, Transactions) else Transactions(engine)
