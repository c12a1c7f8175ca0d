"""Group commit: whatever waits for the database of a service goes into one transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from demo_pipeline.runtime.database_outage import DatabaseOutage, is_away
from demo_pipeline.runtime.sqlite_files import one_hop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo_pipeline.runtime.commit_budget import CommitBudget
    from demo_pipeline.runtime.connection_waits import ConnectionWaits
    from tracing.sql import Transactions

Work = TypeVar("Work")
Result = TypeVar("Result")

MOST: Final = 64
"""How many pieces of work share a transaction at most, so that none waits long for others."""

ENOUGH: Final = 12
"""How many pieces begin a transaction without waiting for others."""


@dataclass(slots=True, eq=False)
class Piece(Generic[Work]):
    """A piece of work that waits for the database, or is being done.

    Attributes:
        work: What to do.
        context: The context of the task that waits for it, with its current span.
        asked_at: When it was asked for.
        began_at: When its transaction began; `None` before that.
    """

    work: Work
    context: Context = field(default_factory=copy_context)
    asked_at: float = field(default_factory=perf_counter)
    began_at: float | None = None


Do = Callable[["Connection", Sequence[Piece[Any]]], Sequence[Any]]
"""Does several pieces in a connection's transaction; returns their results, in order."""


@dataclass(slots=True, eq=False)
class _Waiting:
    do: Do
    piece: Piece[Any]
    result: asyncio.Future[Any]
    at_once: bool


class GroupCommit:
    """Does pieces of work in transactions of one database. For one event loop.

    While a transaction is under way, further pieces wait, and then share the next one. A busy
    service has a budget of transactions besides, and pieces wait for the next one in it. So it
    commits less often, and an idle service waits for nothing. If a piece fails, the transaction
    is rolled back and each of its pieces gets one of its own: none fails because of another.

    On PostgreSQL every piece has a transaction of its own, and several run at once: there, two
    transactions that lock the rows of several orders could wait for each other.

    Args:
        transactions: Runs the transactions.
        waits: Records how long each piece waited for its transaction.
        most: How many pieces share a transaction; 1 for none.
        budget: How many transactions it makes; by default as many as the database can.
    """

    def __init__(
        self,
        transactions: Transactions,
        waits: ConnectionWaits,
        *,
        most: int = MOST,
        budget: CommitBudget | None = None,
    ) -> None:
        self._transactions = transactions
        self._waits = waits
        self._most = most
        self._budget = budget
        self._hurry = asyncio.Event()
        self._closing = False
        self._waiting: deque[_Waiting] = deque()
        self._working: asyncio.Task[None] | None = None

    @property
    def transactions(self) -> Transactions:
        """Runs transactions of the same database, each alone."""
        return self._transactions

    async def run(
        self,
        do: Callable[[Connection, Sequence[Piece[Work]]], Sequence[Result]],
        work: Work,
        *,
        patient: bool,
        at_once: bool = False,
    ) -> Result:
        """Do a piece of work in a transaction, perhaps together with others; wait for the commit.

        Args:
            do: Does several pieces and returns their results, in order. It is called in another
                thread on SQLite, and again if its transaction was lost or another piece failed. It
                runs what concerns a piece alone, such as its spans, in the piece's context.
            work: What to do.
            patient: Whether to wait while the database is unavailable, instead of raising.
            at_once: Whether to begin the next transaction whatever the budget says.

        Raises:
            Exception: What `do` raised for this piece alone.
        """
        outage = DatabaseOutage()
        while True:
            piece = Piece(work)
            try:
                result: Result = await self._done(do, piece, at_once=at_once)
            except Exception as error:
                if not patient or not is_away(error, connected=piece.began_at is not None):
                    raise
                await outage.outlast(error)
            else:
                return result
            finally:
                if piece.began_at is not None:
                    self._waits.waited(piece.began_at - piece.asked_at)

    async def close(self) -> None:
        """Wait for the transaction that is under way, and for what waits for the next one."""
        self._closing = True
        self._hurry.set()
        if self._working is not None:
            await asyncio.wait({self._working})

    async def _done(self, do: Do, piece: Piece[Any], *, at_once: bool) -> Any:
        if self._most == 1:
            (result,) = await self._transactions.run(_begun, do, [piece])
            return result
        result = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(do, piece, result, at_once))
        if at_once or len(self._waiting) >= ENOUGH:
            self._hurry.set()
        if self._working is None:
            # In an empty context: the work of one task is no part of another's trace.
            self._working = asyncio.create_task(self._work(), context=Context())
        return await result

    async def _work(self) -> None:
        try:
            # Records that were fetched together arrive within two turns of the event loop.
            await asyncio.sleep(0)
            while self._waiting:
                await self._company()
                await self._together(self._next())
        finally:
            self._working = None

    async def _company(self) -> None:
        """Wait for further pieces until the budget has a transaction, unless one is in a hurry."""
        if self._budget is None:
            return
        wait_s = self._budget.wait_s()
        if wait_s > 0 and not self._is_pressing():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._hurry.wait()
        self._hurry.clear()
        self._budget.spend()

    def _is_pressing(self) -> bool:
        waiting = self._waiting
        return self._closing or len(waiting) >= ENOUGH or any(each.at_once for each in waiting)

    def _next(self) -> list[_Waiting]:
        """Take the pieces of the next transaction: the oldest ones, as far as they are alike."""
        taken: list[_Waiting] = []
        while self._waiting and len(taken) < self._most:
            if taken and self._waiting[0].do != taken[0].do:
                break
            waiting = self._waiting.popleft()
            # Otherwise its task was cancelled meanwhile.
            if not waiting.result.done():
                taken.append(waiting)
        return taken

    async def _together(self, taken: list[_Waiting]) -> None:
        if not taken:
            return
        try:
            results = await self._transactions.run(
                _begun, taken[0].do, [each.piece for each in taken]
            )
        except Exception as error:
            connected = taken[0].piece.began_at is not None
            if len(taken) > 1 and not is_away(error, connected=connected):
                for each in taken:
                    await self._together([each])
                return
            for each in taken:
                if not each.result.done():
                    each.result.set_exception(error)
        else:
            for each, result in zip(taken, results, strict=True):
                if not each.result.done():
                    each.result.set_result(result)


@asynccontextmanager
async def group_commit(
    engine: AsyncEngine, waits: ConnectionWaits, *, budget: CommitBudget | None = None
) -> AsyncIterator[GroupCommit]:
    """Return the group commit of a service's database; at the end, wait for its transaction."""
    async with one_hop(engine) as transactions:
        commits = GroupCommit(
            transactions,
            waits,
            most=1 if engine.dialect.name == "postgresql" else MOST,
            budget=budget,
        )
        try:
            yield commits
        finally:
            await commits.close()


def _begun(connection: Connection, do: Do, pieces: Sequence[Piece[Any]]) -> Sequence[Any]:
    now = perf_counter()
    for piece in pieces:
        piece.began_at = now
    return do(connection, pieces)
