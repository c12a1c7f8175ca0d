"""What a `SagaTracker` and a `SagaObserver` need of the store in which sagas are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.sagas.context import SagaContext, SagaOutcome
    from tracing.sagas.flow import FlowEvent


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaHistory:
    """What can be told of an instance of a flow that has started and ended. Times are unix ns.

    Attributes:
        context: As it was made when the start was seen.
        outcome: How it ended.
        ended_ns: When.
        deadline_ns: From when on it was overdue.
        steps: Steps that have not been told: by name, with when the one before and they ended.
        end_reported: Whether the end has been told before, and only a step came late.
    """

    context: SagaContext
    outcome: SagaOutcome
    ended_ns: int
    deadline_ns: int
    steps: tuple[tuple[str, int, int], ...]
    end_reported: bool


class SagaLog(SagaHealthSource, Protocol):
    """Keeps events durably. `tracing.sql.SqlSagaLog` is one for SQLAlchemy."""

    async def note(
        self,
        saga: str,
        event: FlowEvent,
        *,
        context: SagaContext | None = None,
        deadline_ns: int | None = None,
    ) -> SagaHistory | None:
        """Keep what an event says. The same event again, or in another order, changes nothing.

        Args:
            saga: The name of the flow.
            event: What the event says.
            context: Where the instance's telemetry belongs, if the event starts it.
            deadline_ns: From when on it is overdue, unix ns, if the event starts it.

        Returns:
            What there is to tell: of an instance of which both start and end are known now, and
            were not before, or of which a step came later than its end; else `None`.
        """
