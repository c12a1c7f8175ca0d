"""How the sagas of one name are doing, as their durable store tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.sagas.outcomes import SagaOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaHealth:
    """The sagas of one name at one moment.

    Attributes:
        active: How many have not ended, by state. Few, fixed states: they are a metric label.
        overdue: How many of those are older than their deadline.
        oldest_started_ns: When the oldest of those started, unix ns; `None` without any.
        started: How many have started, ever.
        ended: How many have ended, ever, by outcome.
        compensations: How many steps were undone, ever, by the name of the compensation.
    """

    active: Mapping[str, int] = field(default_factory=dict)
    overdue: int = 0
    oldest_started_ns: int | None = None
    started: int = 0
    ended: Mapping[SagaOutcome, int] = field(default_factory=dict)
    compensations: Mapping[str, int] = field(default_factory=dict)


class SagaHealthSource(Protocol):
    """Reads health from the store in which an orchestrator keeps its sagas.

    `tracing.sql.SqlSagas.on` is one for SQLAlchemy. Totals must survive a crash: keep them in the
    transaction that starts or ends a saga, or count rows.
    """

    async def health(self, saga: str, now_ns: int) -> SagaHealth:
        """Read the health of the sagas of one name, with one indexed query.

        It is called at every metric collection, on the tracker's event loop.

        Args:
            saga: The name of the sagas.
            now_ns: The present moment, unix ns.
        """
