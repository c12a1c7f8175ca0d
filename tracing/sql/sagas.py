"""Sagas in tables of the application's own database, updated in the transactions that move them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracing.sql.saga_health import StoredSagaHealth
from tracing.sql.saga_moves import SagaMoves
from tracing.sql.saga_writes import SagaWrites

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection, MetaData
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tracing.sagas.context import SagaContext, SagaOutcome, StepOutcome
    from tracing.sagas.store import SagaHealthSource
    from tracing.sql.saga_moves import SagaMove
    from tracing.sql.transactions import Transactions


class SqlSagas(SagaWrites):
    """Records the progress of sagas for people and metrics, in the orchestrator's transactions.

    It makes no decisions and does not replace the orchestrator's own state. Because both change in
    the same transaction, the record is correct after every crash.

    `start_in` and the other methods with that ending do the same with a plain connection, in a
    function that runs a whole transaction; see `Transactions`.

    Args:
        metadata: The metadata of the tables; by default a new one.
        prefix: The prefix of the tables' names.

    Task and thread safety: any number of tasks and threads, each with its own connection. On
    PostgreSQL a transaction should move one saga only: two that move several could wait for each
    other.
    """

    def __init__(self, *, metadata: MetaData | None = None, prefix: str = "saga") -> None:
        super().__init__(metadata=metadata, prefix=prefix)
        self._moves = SagaMoves(self._tables)

    def on(self, engine: AsyncEngine | Transactions) -> SagaHealthSource:
        """Return the source from which a `SagaTracker` reads health."""
        return StoredSagaHealth(self._tables, engine)

    def record_in(
        self, connection: Connection, saga: str, moves: Sequence[SagaMove]
    ) -> list[int | None]:
        """Record whole transitions of one or more sagas, in a plain function.

        It stores what the methods for single changes store, with two or three statements for all.

        Args:
            connection: Inside the transaction that moves the sagas.
            saga: The name of the sagas.
            moves: The transitions, those of one saga in their order.

        Returns:
            For each transition, when the step that has ended was requested, unix ns; `None` if none
            has, or it had ended before, or it never began.
        """
        return self._moves.record_in(connection, saga, moves)

    async def start(
        self,
        connection: AsyncConnection,
        saga: str,
        context: SagaContext,
        *,
        state: str,
        deadline_ns: int | None = None,
    ) -> bool:
        """Record that a saga starts.

        Args:
            connection: Inside the transaction that starts the saga.
            saga: The name of the sagas.
            context: The saga's context, with its id and start time.
            state: The saga's state: one of a few fixed words.
            deadline_ns: The saga's deadline, unix ns.

        Returns:
            Whether the saga is new.
        """
        return await connection.run_sync(
            self.start_in, saga, context, state=state, deadline_ns=deadline_ns
        )

    async def move(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        state: str,
        *,
        reason: str | None = None,
        moved_ns: int | None = None,
    ) -> None:
        """Record a saga's new state, and the reason if it is compensated; an ended saga stays."""
        await connection.run_sync(
            self.move_in, saga, saga_id, state, reason=reason, moved_ns=moved_ns
        )

    async def begin_step(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        step: str,
        *,
        compensation: bool = False,
        attempts: int = 1,
        started_ns: int | None = None,
    ) -> None:
        """Record that a step was requested; for a repeated request, update only `attempts`."""
        await connection.run_sync(
            self.begin_step_in,
            saga,
            saga_id,
            step,
            compensation=compensation,
            attempts=attempts,
            started_ns=started_ns,
        )

    async def end_step(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        step: str,
        *,
        outcome: StepOutcome,
        ended_ns: int | None = None,
    ) -> int | None:
        """Record that a step has ended.

        Returns:
            When the step was requested, unix ns; `None` if it had ended before or never began.

        Raises:
            ValueError: `outcome` is not an outcome of a step.
        """
        return await connection.run_sync(
            self.end_step_in, saga, saga_id, step, outcome=outcome, ended_ns=ended_ns
        )

    async def end(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        outcome: SagaOutcome,
        *,
        reason: str | None = None,
        ended_ns: int | None = None,
    ) -> bool:
        """Record that a saga has ended, which is final.

        Returns:
            Whether the saga was active before.

        Raises:
            ValueError: `outcome` is not an outcome of a saga.
        """
        return await connection.run_sync(
            self.end_in, saga, saga_id, outcome, reason=reason, ended_ns=ended_ns
        )

    async def forget(
        self, connection: AsyncConnection, saga: str, *, ended_before_ns: int | None = None
    ) -> None:
        """Delete the sagas that ended before a time, unix ns; the totals still count them.

        Also delete instances of an observed flow whose start is missing and that last moved before
        that time. A deleted saga counts as new when its start is delivered again: keep sagas for
        longer than the topics retain their records.

        Without a time, delete everything of that name, totals included, to rebuild it.
        """
        await connection.run_sync(self.forget_in, saga, ended_before_ns=ended_before_ns)

    async def add(
        self,
        connection: AsyncConnection,
        saga: str,
        saga_id: str | UUID | int,
        figure: str,
        label: str = "",
    ) -> None:
        """Add one to a total."""
        await connection.run_sync(self.add_in, saga, saga_id, figure, label)
