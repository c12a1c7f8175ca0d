"""The events of a `SagaObserver`, in tables that do not depend on the order of the events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update

from tracing.sagas.context import STEP_OK
from tracing.sql.saga_instances import CHANGING, Instance, changes_of, history_of
from tracing.sql.saga_writes import ENDED, STARTED, USER, bounded_id
from tracing.sql.sagas import SqlSagas
from tracing.sql.transactions import transactions_on
from tracing.sql.upserts import Upsert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, MetaData, Table
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing.sagas.context import SagaContext
    from tracing.sagas.flow import FlowEvent
    from tracing.sagas.store import SagaHealth, SagaHistory
    from tracing.sql.tables import SagaTables
    from tracing.sql.transactions import Transactions


@dataclass(frozen=True, slots=True)
class FlowNote:
    """An event to store in a `SqlSagaLog`.

    Attributes:
        event: The event.
        context: The instance's context, if the event starts the instance.
        deadline_ns: The instance's deadline, unix ns, if the event starts the instance.
    """

    event: FlowEvent
    context: SagaContext | None = None
    deadline_ns: int | None = None


class SqlSagaLog:
    """A `SagaLog` for SQLAlchemy, on the tables of `SqlSagas`.

    Args:
        engine: The database; create the tables before the first event is stored.
        metadata: The metadata of the tables; by default a new one.
        prefix: The prefix of the tables' names.

    Task safety: any number of tasks of one event loop.
    """

    def __init__(
        self,
        engine: AsyncEngine | Transactions,
        *,
        metadata: MetaData | None = None,
        prefix: str = "saga",
    ) -> None:
        self._transactions = transactions_on(engine)
        self._sagas = SqlSagas(metadata=metadata, prefix=prefix)
        self._health = self._sagas.on(self._transactions)
        sagas, steps = self.tables.sagas, self.tables.steps
        self._rows = Upsert(USER, lambda insert: _row_locked(insert(sagas), sagas))
        self._update = (
            update(sagas)
            .where(sagas.c.saga == bindparam("of_saga"), sagas.c.saga_id == bindparam("of_id"))
            .values({name: bindparam(f"new_{name}") for name in CHANGING})
        )
        self._insert_steps = Upsert(
            USER,
            lambda insert: (
                insert(steps).on_conflict_do_nothing().returning(steps.c.saga_id, steps.c.step)
            ),
        )
        self._set_step_back = (
            update(steps)
            .where(
                steps.c.saga == bindparam("of_saga"),
                steps.c.saga_id == bindparam("of_id"),
                steps.c.step == bindparam("of_step"),
                steps.c.ended_ns > bindparam("at_ns"),
            )
            .values(ended_ns=bindparam("at_ns"))
        )
        self._steps = (
            select(steps.c.saga_id, steps.c.step, steps.c.ended_ns)
            .where(
                steps.c.saga == bindparam("of_saga"),
                steps.c.saga_id.in_(bindparam("ids", expanding=True)),
                steps.c.ended_ns.is_not(None),
            )
            .order_by(steps.c.ended_ns, steps.c.step)
        )

    @property
    def tables(self) -> SagaTables:
        """The tables."""
        return self._sagas.tables

    async def health(self, saga: str, now_ns: int) -> SagaHealth:
        """Read the health of the instances of one flow; see `SagaHealthSource`."""
        return await self._health.health(saga, now_ns)

    async def note(
        self,
        saga: str,
        event: FlowEvent,
        *,
        context: SagaContext | None = None,
        deadline_ns: int | None = None,
    ) -> SagaHistory | None:
        """Store an event in a transaction of its own; see `SagaLog`.

        Raises:
            sqlalchemy.exc.DBAPIError: The database failed.
        """
        (history,) = await self._transactions.run(
            self.note_all_in, saga, [FlowNote(event, context, deadline_ns)]
        )
        return history

    def note_all_in(
        self, connection: Connection, saga: str, notes: Sequence[FlowNote]
    ) -> list[SagaHistory | None]:
        """Do the same as `note` for several events of one flow, in a plain function.

        Events of many instances take as many statements as the events of the one that has most.

        Args:
            connection: Inside a transaction.
            saga: The name of the flow.
            notes: The events, those of one instance in their order.

        Returns:
            For each event, what to report.

        Raises:
            sqlalchemy.exc.DBAPIError: The database failed.
        """
        histories: dict[int, SagaHistory | None] = {}
        for turn in _turns(notes):
            noted = self._note(connection, saga, [notes[index] for index in turn])
            histories |= zip(turn, noted, strict=True)
        return [histories[index] for index in range(len(notes))]

    def _note(
        self, connection: Connection, saga: str, notes: Sequence[FlowNote]
    ) -> list[SagaHistory | None]:
        """Store events of different instances."""
        instances = self._instances(connection, saga, notes)
        new_steps = self._keep_steps(connection, saga, notes)
        changed: list[Instance] = []
        totals: list[tuple[str, str, str]] = []
        # By instance: the only step to report, or `None` for everything.
        reported: dict[str, str | None] = {}
        for note in notes:
            event, saga_id = note.event, bounded_id(note.event.saga_id)
            row = instances[saga_id]
            complete = row.complete
            changes = changes_of(row, event, note.context, note.deadline_ns)
            if row.started_ns is None and "started_ns" in changes:
                totals.append((saga_id, STARTED, ""))
            if changes:
                changed.append(replace(row, **changes))
                instances[saga_id] = row = changed[-1]
            if row.complete and not complete:
                totals.append((saga_id, ENDED, row.outcome or ""))
                reported[saga_id] = None
            late = not changes and complete and event.at_ns <= (row.ended_ns or 0)
            if late and (saga_id, event.step) in new_steps:
                reported[saga_id] = event.step
        if changed:
            connection.execute(self._update, [each.values(saga) for each in changed])
        self._sagas.add_all_in(connection, saga, totals)
        histories = self._histories(connection, saga, instances, reported)
        return [histories.get(bounded_id(note.event.saga_id)) for note in notes]

    async def forget(self, saga: str, *, ended_before_ns: int | None = None) -> None:
        """Delete instances that ended before a time, unix ns; the totals still count them.

        Without a time, delete everything of the flow, totals included, to rebuild it.
        """
        await self._transactions.run(self._sagas.forget_in, saga, ended_before_ns=ended_before_ns)

    def _instances(
        self, connection: Connection, saga: str, notes: Sequence[FlowNote]
    ) -> dict[str, Instance]:
        """Return the instances of events, locked; insert those that do not exist."""
        first = {
            bounded_id(each.event.saga_id): {
                "saga": saga,
                "saga_id": bounded_id(each.event.saga_id),
                "state": each.event.state,
                "moved_ns": each.event.at_ns,
            }
            for each in notes
        }
        rows = connection.execute(
            self._rows.on(connection), [first[each] for each in sorted(first)]
        )
        return {row.saga_id: Instance(*row) for row in rows}

    def _keep_steps(
        self, connection: Connection, saga: str, notes: Sequence[FlowNote]
    ) -> set[tuple[str, str]]:
        """Store when steps ended; return the instances and names of those that are new."""
        rows = {
            (bounded_id(each.event.saga_id), each.event.step): {
                "saga": saga,
                "saga_id": bounded_id(each.event.saga_id),
                "step": each.event.step,
                "compensation": False,
                "attempts": 1,
                "ended_ns": each.event.at_ns,
                "outcome": STEP_OK,
            }
            for each in notes
            if each.event.step is not None
        }
        if not rows:
            return set()
        inserted = connection.execute(self._insert_steps.on(connection), list(rows.values()))
        new = {(saga_id, step) for saga_id, step in inserted}
        # If a step was done twice, the first time counts.
        again = [
            {"of_saga": saga, "of_id": key[0], "of_step": key[1], "at_ns": row["ended_ns"]}
            for key, row in rows.items()
            if key not in new
        ]
        if again:
            connection.execute(self._set_step_back, again)
        return new

    def _histories(
        self,
        connection: Connection,
        saga: str,
        instances: Mapping[str, Instance],
        reported: Mapping[str, str | None],
    ) -> dict[str, SagaHistory | None]:
        """Return what to report of instances: everything, or only a late step."""
        if not reported:
            return {}
        steps: dict[str, list[tuple[str, int]]] = {each: [] for each in reported}
        rows = connection.execute(self._steps, {"of_saga": saga, "ids": sorted(reported)})
        for saga_id, step, ended_ns in rows:
            steps[saga_id].append((step, ended_ns))
        return {
            saga_id: history_of(instances[saga_id], steps[saga_id], only)
            for saga_id, only in reported.items()
        }


def _row_locked(insert: Any, sagas: Table) -> Any:
    """Insert rows, or lock those that exist, and return them."""
    return insert.on_conflict_do_update(
        index_elements=list(sagas.primary_key.columns), set_={"moved_ns": sagas.c.moved_ns}
    ).returning(*sagas.c)


def _turns(notes: Sequence[FlowNote]) -> list[list[int]]:
    """Return the indices of events in groups: first events of all instances, second ones, ....

    So there are as few groups as possible, and the first one locks all instances.
    """
    turns: list[list[int]] = []
    earlier: Counter[str] = Counter()
    for index, each in enumerate(notes):
        saga_id = bounded_id(each.event.saga_id)
        if earlier[saga_id] == len(turns):
            turns.append([])
        turns[earlier[saga_id]].append(index)
        earlier[saga_id] += 1
    return turns
