"""The orchestrator: stores a saga's state, commands and telemetry data in one transaction."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from time import time_ns
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from demo_pipeline.runtime.publishing import perform, put
from demo_pipeline.sagas.facts import facts_of
from demo_pipeline.sagas.machine import DeadlinePassed, TimedOut, advance
from demo_pipeline.sagas.place_order import COMPENSATIONS, NAME
from demo_pipeline.sagas.store import begun

if TYPE_CHECKING:
    from aiokafka.structs import ConsumerRecord
    from sqlalchemy.ext.asyncio import AsyncConnection

    from demo_pipeline.domain.commands import Command
    from demo_pipeline.domain.deadlines import Deadlines
    from demo_pipeline.domain.events import Event
    from demo_pipeline.runtime.service_context import ServiceContext
    from demo_pipeline.sagas.facts import Facts
    from demo_pipeline.sagas.machine import Happening
    from demo_pipeline.sagas.store import SagaStore, StoredSaga
    from tracing import SagaTracker
    from tracing.sql import SqlSagas

_logger = logging.getLogger("demo_pipeline.orchestrator")


@dataclass(frozen=True, slots=True)
class _Moved:
    saga: StoredSaga
    facts: Facts
    commands: tuple[Command, ...]
    step_started_ns: int | None
    at_ns: int


class Orchestrator:
    """Moves sagas on events and on timers. Use it from one event loop.

    Args:
        context: What the service works with.
        store: Stores the sagas' states and timers.
        sagas: Stores the sagas' status for people and metrics.
        tracker: Records spans and metrics.
    """

    def __init__(
        self, context: ServiceContext, store: SagaStore, sagas: SqlSagas, tracker: SagaTracker
    ) -> None:
        self._context = context
        self._store = store
        self._sagas = sagas
        self._tracker = tracker

    async def take(self, event: Event, record: ConsumerRecord[Any, Any]) -> None:
        """Apply an event to its saga."""
        moved: _Moved | None = None

        async def handle(event: Event, connection: AsyncConnection) -> tuple[Command, ...]:
            nonlocal moved
            stored = await self._store.load(connection, event.order.order_id)
            moved = await self._move(connection, stored, event)
            return () if moved is None else moved.commands

        sent = await perform(handle, event, self._context, record)
        if sent is not None and moved is not None:
            self._record(moved)

    async def look_after(self, order_id: str) -> None:
        """Apply a timeout to a saga, if it is still waiting."""
        async with self._context.database.begin() as connection:
            # A locked saga is being moved already.
            stored = await self._store.load(connection, order_id, skip_locked=True)
            if stored is None:
                return
            now_ns = time_ns()
            if stored.state.deadline_applies and now_ns >= stored.deadline_ns:
                stored = await self._postponed(connection, stored, now_ns)
            happening = _too_late(stored, now_ns)
            if happening is None:
                return
            # Its commands belong to the saga's trace, as if an event had caused them.
            with self._tracker.resumed(stored.context):
                moved = await self._move(connection, stored, happening)
                if moved is None:
                    return
                await put(moved.commands, self._context, connection)
        self._context.committed()
        with self._tracker.resumed(stored.context):
            self._record(moved)

    async def due(self, limit: int) -> list[str]:
        """Return the orders whose sagas have a timeout due."""
        async with self._context.database.connect() as connection:
            return await self._store.due(connection, time_ns(), limit)

    async def _move(
        self, connection: AsyncConnection, stored: StoredSaga | None, happening: Happening
    ) -> _Moved | None:
        deadlines, now_ns = self._deadlines(), time_ns()
        before = None if stored is None else stored.state
        after, commands = advance(before, happening, deadlines)
        if after is None or after == before:
            return None
        if stored is None:
            context = self._tracker.begin(after.order.order_id, now_ns)
            saga = begun(after, context, now_ns, deadlines)
            await self._store.add(connection, saga)
        else:
            saga = stored.moved(after, now_ns, deadlines)
            await self._store.save(connection, saga)
            await self._note_deadline(connection, stored, saga)
        facts = facts_of(before, after, happening)
        started_ns = await self._note(connection, saga, facts, now_ns)
        return _Moved(saga, facts, commands, started_ns, now_ns)

    def _deadlines(self) -> Deadlines:
        """Return the deadlines, stretched by the current pace."""
        return self._context.pace.stretched(self._context.deadlines)

    async def _postponed(
        self, connection: AsyncConnection, stored: StoredSaga, now_ns: int
    ) -> StoredSaga:
        """Recompute the deadline of an overdue saga at the current pace."""
        later = stored.moved(stored.state, now_ns, self._deadlines())
        if later.deadline_ns > stored.deadline_ns:
            await self._store.save(connection, later)
            await self._note_deadline(connection, stored, later)
        return later

    async def _note_deadline(
        self, connection: AsyncConnection, before: StoredSaga, after: StoredSaga
    ) -> None:
        if after.deadline_ns == before.deadline_ns:
            return
        sagas = self._sagas.tables.sagas
        await connection.execute(
            update(sagas)
            .where(sagas.c.saga == NAME, sagas.c.saga_id == after.state.order.order_id)
            .values(deadline_ns=after.deadline_ns)
        )

    async def _note(
        self, connection: AsyncConnection, saga: StoredSaga, facts: Facts, now_ns: int
    ) -> int | None:
        """Store the saga's status; return when the step began that has just ended."""
        state, sagas = saga.state, self._sagas
        order_id, step_started_ns = state.order.order_id, None
        if facts.started:
            await sagas.start(
                connection,
                NAME,
                saga.context,
                state=facts.asked or state.phase,
                deadline_ns=saga.deadline_ns,
            )
        if facts.step_ended is not None:
            ended = facts.step_ended
            step_started_ns = await sagas.end_step(
                connection, NAME, order_id, ended.name, outcome=ended.outcome, ended_ns=now_ns
            )
        if facts.asked is not None:
            await sagas.begin_step(
                connection,
                NAME,
                order_id,
                facts.asked,
                compensation=facts.asked in COMPENSATIONS,
                attempts=facts.attempt,
                started_ns=now_ns,
            )
            if not facts.started:
                await sagas.move(
                    connection, NAME, order_id, facts.asked, reason=state.reason, moved_ns=now_ns
                )
        if facts.outcome is not None:
            await sagas.end(
                connection, NAME, order_id, facts.outcome, reason=state.reason, ended_ns=now_ns
            )
        return step_started_ns

    def _record(self, moved: _Moved) -> None:
        """Record spans and metrics of a committed transition."""
        facts, context, state = moved.facts, moved.saga.context, moved.saga.state
        pace, order_id = self._context.pace, state.order.order_id
        if facts.started:
            pace.asked(order_id)
            self._tracker.started(context)
        if facts.step_ended is not None:
            pace.answered(order_id)
        if facts.step_ended is not None and moved.step_started_ns is not None:
            ended = facts.step_ended
            self._tracker.step(
                context,
                ended.name,
                started_ns=moved.step_started_ns,
                ended_ns=moved.at_ns,
                outcome=ended.outcome,
                compensation=ended.compensation,
                error_type=ended.error_type,
                attempts=ended.attempts,
            )
        if facts.compensating_because is not None:
            self._tracker.compensating(context, facts.compensating_because)
        if facts.outcome is not None:
            self._tracker.ended(
                context,
                facts.outcome,
                ended_ns=moved.at_ns,
                deadline_ns=moved.saga.deadline_ns,
                reason=state.reason,
            )
        if facts.outcome == "failed":
            _logger.error(
                "the saga of order %s has failed and needs a human: %s; not compensated: %s",
                order_id,
                state.reason,
                ", ".join(state.to_undo),
            )


def _too_late(stored: StoredSaga, now_ns: int) -> TimedOut | DeadlinePassed | None:
    """Return the timeout that is due for a saga, if one is."""
    state = stored.state
    if state.deadline_applies and now_ns >= stored.deadline_ns:
        return DeadlinePassed()
    if state.awaited is not None and now_ns >= stored.answer_due_ns:
        return TimedOut(state.awaited, state.attempt)
    return None
