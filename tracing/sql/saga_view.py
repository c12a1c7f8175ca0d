"""Reading stored sagas: their states and their steps."""

from __future__ import annotations

from dataclasses import dataclass
from time import time_ns
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from tracing.core.text import text_of
from tracing.sagas.context import SagaContext
from tracing.sql.saga_writes import bounded_id

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from tracing.sql.tables import SagaTables


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaRecord:
    """A stored saga. All times are unix ns.

    Attributes:
        saga: The name of the sagas.
        saga_id: The saga's id.
        state: Its state; once it has ended, its outcome.
        context: Its trace context; `None` if that is not known.
        started_ns: When it started; `None` while only later events of it are known.
        deadline_ns: Its deadline, if it has one.
        moved_ns: When it last changed its state.
        ended_ns: When it ended; `None` while it is active.
        outcome: How it ended.
        reason: Why it was compensated or failed.
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
        """Whether it ended after its deadline, or is active and past it."""
        end_ns = now_ns if self.ended_ns is None else self.ended_ns
        return self.deadline_ns is not None and self.deadline_ns < end_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """A step that a saga began. All times are unix ns.

    Attributes:
        step: Its name.
        compensation: Whether it undoes another step.
        attempts: How often it was requested.
        started_ns: When it was first requested.
        ended_ns: When it ended; `None` while it is in progress.
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
        """Read sagas, latest start first.

        Args:
            connection: A connection to their database.
            saga: Return only sagas of this name, which an index makes fast.
            states: Return only sagas in one of these states.
            active: Return only sagas that have not ended.
            overdue: Return only active sagas that are past their deadline.
            limit: The maximum number of sagas.
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
        """Read the sagas with an id, at most one of each name."""
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


def _stored_ids(saga_id: str | UUID | int) -> tuple[str, ...]:
    """Return the forms in which an id may be stored; a listing shows hashed ids."""
    saga_id = text_of(saga_id, "saga_id")
    hashed = saga_id.startswith("sha256:") and saga_id.isascii() and saga_id[7:].isalnum()
    return (bounded_id(saga_id), saga_id) if hashed else (bounded_id(saga_id),)


def _record(row: Any) -> SagaRecord:
    fields: dict[str, Any] = dict(row._mapping)  # noqa: SLF001 - as above
    context = fields.pop("context")
    return SagaRecord(context=None if context is None else SagaContext.parse(context), **fields)
