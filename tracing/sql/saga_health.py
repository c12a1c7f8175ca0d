"""The health of stored sagas of one name: one query over the active sagas and the totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, func, literal, null, select, union_all

from tracing.sagas.context import SAGA_OUTCOMES
from tracing.sagas.store import SagaHealth
from tracing.sql.transactions import transactions_on

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tracing.sql.tables import SagaTables
    from tracing.sql.transactions import Transactions


class StoredSagaHealth:
    """Reads health from the tables of `SqlSagas`.

    Args:
        tables: The tables.
        engine: Their database.
    """

    def __init__(self, tables: SagaTables, engine: AsyncEngine | Transactions) -> None:
        self._transactions = transactions_on(engine)
        sagas, totals = tables.sagas.c, tables.totals.c
        overdue = func.sum(case((sagas.deadline_ns < bindparam("now_ns"), 1), else_=0))
        active = (
            select(
                literal("active").label("figure"),
                sagas.state.label("label"),
                func.count().label("number"),
                overdue.label("overdue"),
                func.min(sagas.started_ns).label("oldest_ns"),
                func.min(sagas.moved_ns).label("moved_ns"),
            )
            .where(
                sagas.saga == bindparam("saga"),
                sagas.ended_ns.is_(None),
                sagas.started_ns.is_not(None),
            )
            .group_by(sagas.state)
        )
        all_time = (
            select(totals.figure, totals.label, func.sum(totals.number), literal(0), null(), null())
            .where(totals.saga == bindparam("saga"))
            .group_by(totals.figure, totals.label)
        )
        self._query = union_all(active, all_time)

    async def health(self, saga: str, now_ns: int) -> SagaHealth:
        """Read the health of the sagas of one name.

        Raises:
            sqlalchemy.exc.DBAPIError: The database failed.
        """
        rows = await self._transactions.read(self._rows, {"saga": saga, "now_ns": now_ns})
        active = [row for row in rows if row.figure == "active"]
        totals = {(row.figure, row.label): int(row.number) for row in rows}
        return SagaHealth(
            active={row.label: int(row.number) for row in active},
            overdue=sum(int(row.overdue) for row in active),
            oldest_started_ns=min((int(row.oldest_ns) for row in active), default=None),
            moved_ns={row.label: int(row.moved_ns) for row in active},
            started=totals.get(("started", ""), 0),
            ended={outcome: totals.get(("ended", outcome), 0) for outcome in SAGA_OUTCOMES},
            compensations={
                label: number
                for (figure, label), number in totals.items()
                if figure == "compensated"
            },
        )

    def _rows(self, connection: Connection, values: dict[str, object]) -> list[Any]:
        return list(connection.execute(self._query, values))
