"""The orchestrator: stores sagas' states, commands and telemetry data in one transaction."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from time import time_ns
from typing import TYPE_CHECKING, Any

from demo_pipeline.runtime.commit_budget import is_late
from demo_pipeline.runtime.publishing import accepted, rows_of
from demo_pipeline.sagas.facts import facts_of
from demo_pipeline.sagas.machine import DeadlinePassed, TimedOut, advance
from demo_pipeline.sagas.place_order import COMPENSATIONS, NAME
from demo_pipeline.sagas.store import begun
from tracing.sql import SagaMove

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka.structs import ConsumerRecord
    from sqlalchemy import Connection

    from demo_pipeline.domain.commands import Command
    from demo_pipeline.domain.deadlines import Deadlines
    from demo_pipeline.domain.events import Event
    from demo_pipeline.runtime.group_commit import Piece
    from demo_pipeline.runtime.service_context import ServiceContext
    from demo_pipeline.sagas.facts import Facts
    from demo_pipeline.sagas.machine import Happening
    from demo_pipeline.sagas.store import SagaStore, StoredSaga
    from tracing import SagaTracker
    from tracing.sql import AddedRecords, SqlSagas

_logger = logging.getLogger("demo_pipeline.orchestrator")


@dataclass(frozen=True, slots=True)
class _Moved:
    saga: StoredSaga
    facts: Facts
    commands: tuple[Command, ...]
    step_started_ns: int | None
    at_ns: int
    # All records that the transaction added to the outbox.
    stored: AddedRecords | None = None


@dataclass(frozen=True, slots=True)
class _Taking:
    event: Event
    record: ConsumerRecord[Any, Any]
    deadlines: Deadlines


@dataclass(frozen=True, slots=True)
class _Waiting:
    order_id: str
    deadlines: Deadlines


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
        # The pace belongs to the event loop, and the transaction to another thread.
        taking = _Taking(event, record, self._deadlines())
        at_once = is_late(record.timestamp, self._context.pace.factor)
        moved = await self._context.commits.run(self._take, taking, patient=True, at_once=at_once)
        if moved is not None:
            self._committed(moved)
            self._record(moved)

    async def look_after(self, order_id: str) -> None:
        """Apply a timeout to a saga, if it is still waiting."""
        waiting = _Waiting(order_id, self._deadlines())
        moved = await self._context.commits.run(
            self._look_after, waiting, patient=False, at_once=True
        )
        if moved is not None:
            self._committed(moved)
            with self._tracker.resumed(moved.saga.context):
                self._record(moved)

    async def due(self, limit: int) -> list[str]:
        """Return the orders whose sagas have a timeout due."""
        return await self._context.commits.transactions.read(self._store.due, time_ns(), limit)

    def _committed(self, moved: _Moved) -> None:
        if moved.commands:
            self._context.committed(moved.stored)

    def _take(
        self, connection: Connection, pieces: Sequence[Piece[_Taking]]
    ) -> list[_Moved | None]:
        """Apply events to their sagas, each in the context of its own task."""
        new = accepted(connection, self._context, [(each, each.work.record) for each in pieces])
        taken = [each for each, is_new in zip(pieces, new, strict=True) if is_new]
        stored = self._store.load(connection, {each.work.event.order.order_id for each in taken})
        moved: dict[int, _Moved] = {}
        rows: list[dict[str, object]] = []
        for piece in taken:
            event, order_id = piece.work.event, piece.work.event.order.order_id
            one = piece.context.run(self._moved, stored.get(order_id), event, piece.work.deadlines)
            if one is not None:
                moved[id(piece)] = one
                stored[order_id] = one.saga
                rows += piece.context.run(rows_of, one.commands, self._context)
        kept = self._keep(connection, list(moved.values()))
        stored_records = self._context.outbox.hand_over_in(connection, rows)
        results = [replace(each, stored=stored_records) for each in kept]
        result = dict(zip(moved, results, strict=True))
        return [result.get(id(each)) for each in pieces]

    def _look_after(
        self, connection: Connection, pieces: Sequence[Piece[_Waiting]]
    ) -> list[_Moved | None]:
        return [self._timed_out(connection, each.work) for each in pieces]

    def _timed_out(self, connection: Connection, waiting: _Waiting) -> _Moved | None:
        # A locked saga is being moved already.
        sagas = self._store.load(connection, [waiting.order_id], skip_locked=True)
        stored, now_ns = sagas.get(waiting.order_id), time_ns()
        if stored is None:
            return None
        if stored.state.deadline_applies and now_ns >= stored.deadline_ns:
            stored = self._postponed(connection, stored, now_ns, waiting.deadlines)
        happening = _too_late(stored, now_ns)
        if happening is None:
            return None
        # Its commands belong to the saga's trace, as if an event had caused them.
        with self._tracker.resumed(stored.context):
            moved = self._moved(stored, happening, waiting.deadlines)
            if moved is None:
                return None
            (kept,) = self._keep(connection, [moved])
            rows = rows_of(kept.commands, self._context)
            return replace(kept, stored=self._context.outbox.hand_over_in(connection, rows))

    def _moved(
        self, stored: StoredSaga | None, happening: Happening, deadlines: Deadlines
    ) -> _Moved | None:
        """Apply an input to a saga; return `None` if it changes nothing."""
        now_ns = time_ns()
        before = None if stored is None else stored.state
        after, commands = advance(before, happening, deadlines)
        if after is None or after == before:
            return None
        if stored is None:
            context = self._tracker.begin(after.order.order_id, now_ns)
            saga = begun(after, context, now_ns, deadlines)
        else:
            saga = stored.moved(after, now_ns, deadlines)
        return _Moved(saga, facts_of(before, after, happening), commands, None, now_ns)

    def _keep(self, connection: Connection, moved: Sequence[_Moved]) -> list[_Moved]:
        """Store what has moved, with its status; return it with the starts of the ended steps."""
        self._store.add(connection, [each.saga for each in moved if each.facts.started])
        self._store.save(connection, [each.saga for each in moved if not each.facts.started])
        began = self._sagas.record_in(connection, NAME, [_status(each) for each in moved])
        return [
            replace(each, step_started_ns=started_ns)
            for each, started_ns in zip(moved, began, strict=True)
        ]

    def _deadlines(self) -> Deadlines:
        """Return the deadlines, stretched by the current pace."""
        return self._context.pace.stretched(self._context.deadlines)

    def _postponed(
        self, connection: Connection, stored: StoredSaga, now_ns: int, deadlines: Deadlines
    ) -> StoredSaga:
        """Recompute the deadline of an overdue saga at the current pace."""
        later = stored.moved(stored.state, now_ns, deadlines)
        if later.deadline_ns > stored.deadline_ns:
            self._store.save(connection, [later])
            unmoved = SagaMove(
                saga_id=later.state.order.order_id,
                state=later.state.awaited or later.state.phase,
                at_ns=now_ns,
                deadline_ns=later.deadline_ns,
            )
            self._sagas.record_in(connection, NAME, [unmoved])
        return later

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


def _status(moved: _Moved) -> SagaMove:
    """Return a transition as people and metrics see it."""
    facts, saga = moved.facts, moved.saga
    ended = facts.step_ended
    return SagaMove(
        saga_id=saga.state.order.order_id,
        state=facts.asked or saga.state.phase,
        at_ns=moved.at_ns,
        started=saga.context if facts.started else None,
        deadline_ns=saga.deadline_ns,
        reason=saga.state.reason,
        ended_step=None if ended is None else ended.name,
        step_outcome="ok" if ended is None else ended.outcome,
        compensation=ended is not None and ended.compensation,
        begun_step=facts.asked,
        attempts=facts.attempt,
        begins_compensation=facts.asked in COMPENSATIONS,
        outcome=facts.outcome,
    )


def _too_late(stored: StoredSaga, now_ns: int) -> TimedOut | DeadlinePassed | None:
    """Return the timeout that is due for a saga, if one is."""
    state = stored.state
    if state.deadline_applies and now_ns >= stored.deadline_ns:
        return DeadlinePassed()
    if state.awaited is not None and now_ns >= stored.answer_due_ns:
        return TimedOut(state.awaited, state.attempt)
    return None
