"""Looking at stored sagas: which there are, where they stand, and what they did."""

from __future__ import annotations

from dataclasses import dataclass
from time import time_ns
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from tracing.core.text import text_of
from tracing.sagas.context import SagaContext
from tracing.sql.sagas import bounded_id

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing.sql.tables import SagaTables


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaRecord:
    """One saga as it is stored. All times are unix ns.

    Attributes:
        saga: The name of the sagas.
        saga_id: Which one.
        state: Where it stands; once it has ended, its outcome.
        context: Where its telemetry belongs; `None` where that is not known.
        started_ns: When it started; `None` while only later events of it are known.
        deadline_ns: From when on it is overdue, if ever.
        moved_ns: When it last moved.
        ended_ns: When it ended; `None` while it is active.
        outcome: How it ended.
        reason: Why it turned back.
    """

    saga: str
    saga_id: str
    state: str
    context: SagaContext | None
    started_ns: int | None
    deadline_ns: int | None
    moved_ns: int
    ended_ns: int | None
    outcome: str | None
    reason: str | None

    def overdue(self, now_ns: int) -> bool:
        """Whether it ended after its deadline, or is active and older than that."""
        end_ns = now_ns if self.ended_ns is None else self.ended_ns
        return self.deadline_ns is not None and self.deadline_ns < end_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step that a saga began. All times are unix ns.

    Attributes:
        step: Its name.
        compensation: Whether it undoes another step.
        attempts: How often it was asked for.
        started_ns: When it was asked for first.
        ended_ns: When it ended; `None` while it is under way.
        outcome: How it ended: `ok`, `rejected` or `error`.
    """

    step: str
    compensation: bool
    attempts: int
    started_ns: int | None
    ended_ns: int | None
    outcome: str | None


class SagaView:
    """Reads the tables of `SqlSagas`.

    Args:
        tables: The tables.

    Task safety: any number of tasks, each with its own connection.
    """

    def __init__(self, tables: SagaTables) -> None:
        self._tables = tables

    async def sagas(
        self,
        connection: AsyncConnection,
        *,
        saga: str | None = None,
        states: tuple[str, ...] = (),
        active: bool = False,
        overdue: bool = False,
        limit: int = 1000,
    ) -> list[SagaRecord]:
        """Read sagas, those that started last first.

        Args:
            connection: To their database.
            saga: Only those of this name; then an index finds them.
            states: Only those in one of these states.
            active: Only those that have not ended.
            overdue: Only those that have not ended and are older than their deadline.
            limit: How many at most.
        """
        columns = self._tables.sagas.c
        newest = columns.started_ns.desc().nulls_last()
        query = select(*columns).order_by(newest, columns.saga_id).limit(limit)
        if saga is not None:
            query = query.where(columns.saga == saga)
        if states:
            query = query.where(columns.state.in_(states))
        if active or overdue:
            query = query.where(columns.ended_ns.is_(None), columns.started_ns.is_not(None))
        if overdue:
            query = query.where(columns.deadline_ns < time_ns())
        return [_record(row) for row in await connection.execute(query)]

    async def find(
        self, connection: AsyncConnection, saga_id: str | UUID | int, *, saga: str | None = None
    ) -> list[SagaRecord]:
        """Read the sagas of an id: at most one of each name."""
        columns = self._tables.sagas.c
        query = select(*columns).where(columns.saga_id.in_(_stored_ids(saga_id)))
        if saga is not None:
            query = query.where(columns.saga == saga)
        return [_record(row) for row in await connection.execute(query.order_by(columns.saga))]

    async def steps(
        self, connection: AsyncConnection, saga: str, saga_id: str | UUID | int
    ) -> list[StepRecord]:
        """Read the steps of a saga, in the order in which they began."""
        columns = self._tables.steps.c
        began = func.coalesce(columns.started_ns, columns.ended_ns)
        query = (
            select(
                columns.step,
                columns.compensation,
                columns.attempts,
                columns.started_ns,
                columns.ended_ns,
                columns.outcome,
            )
            .where(columns.saga == saga, columns.saga_id.in_(_stored_ids(saga_id)))
            .order_by(began, columns.step)
        )
        return [
            StepRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented way to a row's names
            for row in await connection.execute(query)
        ]


def _stored_ids(given: str | UUID | int) -> tuple[str, ...]:
    """How an id may be stored; one that is hashed already comes from a listing."""
    saga_id = text_of(given, "saga_id")
    listed = saga_id.startswith("sha256:") and saga_id.isascii() and saga_id[7:].isalnum()
    return (bounded_id(saga_id), saga_id) if listed else (bounded_id(saga_id),)


def _record(row: Any) -> SagaRecord:
    fields: dict[str, Any] = dict(row._mapping)  # noqa: SLF001 - as above
    context = fields.pop("context")
    return SagaRecord(context=None if context is None else SagaContext.parse(context), **fields)
