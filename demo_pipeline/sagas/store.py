"""The table of the place-order saga: state and timers, one row per order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    String,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from demo_pipeline.sagas.machine import Phase, SagaState, wait_s
from tracing import SagaContext

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, MetaData

    from demo_pipeline.domain.deadlines import Deadlines

_NS: Final = 1_000_000_000
_NO_MORE_COMMANDS: Final = frozenset({Phase.COMPLETED, Phase.COMPENSATED})
_FORWARD: Final = frozenset({Phase.RUNNING, Phase.COMPLETED})
_VALUES: Final = ("state", "context", "answer_due_ns", "deadline_ns", "due_ns")
_DECODER: Final = msgspec.json.Decoder(SagaState)


@dataclass(frozen=True, slots=True)
class StoredSaga:
    """A stored saga. All times are unix ns.

    Attributes:
        state: Its state.
        context: Its trace and flow.
        answer_due_ns: When the awaited answer is due.
        deadline_ns: When the saga should have ended.
    """

    state: SagaState
    context: SagaContext
    answer_due_ns: int
    deadline_ns: int

    @property
    def due_ns(self) -> int | None:
        """When its next timer is due; `None` once it has ended."""
        if self.state.ended:
            return None
        if self.state.deadline_applies:
            return min(self.answer_due_ns, self.deadline_ns)
        return self.answer_due_ns

    def moved(self, state: SagaState, now_ns: int, deadlines: Deadlines) -> StoredSaga:
        """Return the saga with a new state; a new command restarts its timer.

        While the saga goes forward, its deadline moves out if deadlines have become longer.
        """
        due_ns = self.answer_due_ns
        if (state.awaited, state.attempt) != (self.state.awaited, self.state.attempt):
            due_ns = now_ns + int(wait_s(state, deadlines) * _NS)
        deadline_ns = self.deadline_ns
        if state.phase in _FORWARD:
            deadline_ns = max(deadline_ns, self.context.started_ns + int(deadlines.saga_s * _NS))
        return StoredSaga(state, self.context, due_ns, deadline_ns)


def begun(state: SagaState, context: SagaContext, now_ns: int, deadlines: Deadlines) -> StoredSaga:
    """Return a saga that has just begun."""
    return StoredSaga(
        state,
        context,
        now_ns + int(wait_s(state, deadlines) * _NS),
        now_ns + int(deadlines.saga_s * _NS),
    )


class SagaStore:
    """The table of the saga's states.

    Args:
        metadata: The metadata that the table is added to.
    """

    def __init__(self, metadata: MetaData) -> None:
        self._table = table = Table(
            "place_order",
            metadata,
            Column("order_id", String(64), primary_key=True),
            Column("state", Text, nullable=False),
            Column("context", Text, nullable=False),
            Column("answer_due_ns", BigInteger, nullable=False),
            Column("deadline_ns", BigInteger, nullable=False),
            Column("due_ns", BigInteger),
        )
        waiting = table.c.due_ns.is_not(None)
        Index("place_order_due", table.c.due_ns, sqlite_where=waiting, postgresql_where=waiting)

        columns = table.c
        self._load = select(
            columns.order_id,
            columns.state,
            columns.context,
            columns.answer_due_ns,
            columns.deadline_ns,
        ).where(columns.order_id.in_(bindparam("order_ids", expanding=True)))
        self._lock = self._load.order_by(columns.order_id).with_for_update()
        self._lock_free = self._load.with_for_update(skip_locked=True)
        self._add = insert(table)
        self._save = (
            update(table)
            .where(columns.order_id == bindparam("of_order"))
            .values({name: bindparam(name) for name in _VALUES})
        )
        self._due = (
            select(columns.order_id)
            .where(columns.due_ns <= bindparam("now_ns"))
            .order_by(columns.due_ns)
            .limit(bindparam("most"))
        )

    def load(
        self,
        connection: Connection,
        order_ids: Collection[str],
        *,
        to_move: bool = True,
        skip_locked: bool = False,
    ) -> dict[str, StoredSaga]:
        """Read sagas by their orders; unknown ones are missing.

        Args:
            connection: A connection inside a transaction.
            order_ids: The sagas' orders.
            to_move: Whether to lock the sagas until the transaction ends.
            skip_locked: Whether to leave out sagas that are locked.
        """
        statement = self._load
        if to_move:
            statement = self._lock_free if skip_locked else self._lock
        sagas = {}
        for order_id, state, text, answer_due_ns, deadline_ns in connection.execute(
            statement, {"order_ids": sorted(order_ids)}
        ):
            context = SagaContext.parse(text) or SagaContext(order_id, answer_due_ns)
            sagas[order_id] = StoredSaga(
                _DECODER.decode(state), context, answer_due_ns, deadline_ns
            )
        return sagas

    def add(self, connection: Connection, sagas: Sequence[StoredSaga]) -> None:
        """Insert sagas that have begun."""
        if sagas:
            rows = [{"order_id": each.state.order.order_id, **_values(each)} for each in sagas]
            connection.execute(self._add, rows)

    def save(self, connection: Connection, sagas: Sequence[StoredSaga]) -> None:
        """Update sagas that have moved, in this order."""
        if sagas:
            rows = [{"of_order": each.state.order.order_id, **_values(each)} for each in sagas]
            connection.execute(self._save, rows)

    def due(self, connection: Connection, now_ns: int, limit: int) -> list[str]:
        """Return the orders whose sagas have a timer due, the longest overdue first."""
        return list(connection.scalars(self._due, {"now_ns": now_ns, "most": limit}))


def _values(saga: StoredSaga) -> dict[str, object]:
    state = saga.state
    if state.phase in _NO_MORE_COMMANDS:
        # No further command needs the card or the address.
        state = replace(state, order=replace(state.order, card_token="", ship_to=""))
    return {
        "state": msgspec.json.encode(state).decode(),
        "context": str(saga.context),
        "answer_due_ns": saga.answer_due_ns,
        "deadline_ns": saga.deadline_ns,
        "due_ns": saga.due_ns,
    }
