"""Moving place-order sagas: state, commands and what is told of them in one transaction."""

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
    """Moves sagas when something happens. For one event loop.

    Args:
        context: Where it works.
        store: Keeps the sagas' states and timers.
        sagas: Keeps what people and metrics want to know.
        tracker: Tells traces and metrics.
    """

    def __init__(
        self, context: ServiceContext, store: SagaStore, sagas: SqlSagas, tracker: SagaTracker
    ) -> None:
        self._context = context
        self._store = store
        self._sagas = sagas
        self._tracker = tracker

    async def take(self, event: Event, record: ConsumerRecord[Any, Any]) -> None:
        """Move the saga that an event belongs to."""
        moved: _Moved | None = None

        async def handle(event: Event, connection: AsyncConnection) -> tuple[Command, ...]:
            nonlocal moved
            stored = await self._store.load(connection, event.order.order_id)
            moved = await self._move(connection, stored, event)
            return () if moved is None else moved.commands

        sent = await perform(handle, event, self._context, record)
        if sent is not None and moved is not None:
            self._tell(moved)

    async def look_after(self, order_id: str) -> None:
        """Move a saga that has waited too long, if it still does."""
        async with self._context.database.begin() as connection:
            # Whoever holds it is about to move it.
            stored = await self._store.load(connection, order_id, skip_locked=True)
            if stored is None:
                return
            now_ns = time_ns()
            if stored.state.can_turn_back and now_ns >= stored.deadline_ns:
                stored = await self._postponed(connection, stored, now_ns)
            happening = _too_late(stored, now_ns)
            if happening is None:
                return
            # What it sends belongs to the saga's trace, as if an event had moved it.
            with self._tracker.resumed(stored.context):
                moved = await self._move(connection, stored, happening)
                if moved is None:
                    return
                await put(moved.commands, self._context, connection)
        self._context.committed()
        with self._tracker.resumed(stored.context):
            self._tell(moved)

    async def due(self, limit: int) -> list[str]:
        """The orders whose sagas have waited too long, by now."""
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
        """How patient sagas are now: longer than it is written, where the shop is slow."""
        return self._context.pace.stretched(self._context.deadlines)

    async def _postponed(
        self, connection: AsyncConnection, stored: StoredSaga, now_ns: int
    ) -> StoredSaga:
        """Give a saga that is past its deadline the time that the pace of now would give it."""
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
        """Note in the transaction what is told later; returns when the step began that ended."""
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

    def _tell(self, moved: _Moved) -> None:
        """Tell of a move that has been committed."""
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
        if facts.turned_back is not None:
            self._tracker.compensating(context, facts.turned_back)
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
                "the saga of order %s has failed and needs a human: %s; still to undo: %s",
                order_id,
                state.reason,
                ", ".join(state.to_undo),
            )


def _too_late(stored: StoredSaga, now_ns: int) -> TimedOut | DeadlinePassed | None:
    """What a saga has waited too long for."""
    state = stored.state
    if state.can_turn_back and now_ns >= stored.deadline_ns:
        return DeadlinePassed()
    if state.awaited is not None and now_ns >= stored.answer_due_ns:
        return TimedOut(state.awaited, state.attempt)
    return None
