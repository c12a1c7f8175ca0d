"""The interfaces between saga telemetry and the durable store of the sagas."""

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
        active: Active sagas, by state. Use few, fixed states: they are a metric label.
        overdue: Active sagas that are past their deadline.
        oldest_started_ns: When the oldest active saga started, unix ns; `None` without any.
        moved_ns: When the active saga that has been in a state the longest came into it, by state,
            unix ns. Empty if the store does not know.
        started: All sagas that ever started. This and the other totals must not fall.
        ended: All sagas that ever ended, by outcome.
        compensations: All steps ever undone, by the name of the compensation.
    """

    active: Mapping[str, int] = field(default_factory=dict)
    overdue: int = 0
    oldest_started_ns: int | None = None
    moved_ns: Mapping[str, int] = field(default_factory=dict)
    started: int = 0
    ended: Mapping[SagaOutcome, int] = field(default_factory=dict)
    compensations: Mapping[str, int] = field(default_factory=dict)


class SagaHealthSource(Protocol):
    """Reads health from the store in which an orchestrator keeps its sagas.

    `tracing.sql.SqlSagas.on` returns one for SQLAlchemy. Totals must survive a crash and
    must not fall: update them in the transaction that starts or ends a saga, or count rows, if no
    row is ever deleted. After a total has fallen, dashboards and alerts miss the next increase, and
    what is counted a second time looks new.
    """

    async def health(self, saga: str, now_ns: int) -> SagaHealth:
        """Read the health of the sagas of one name, with one indexed query.

        The tracker calls it at every metric collection, on its own event loop.

        Args:
            saga: The name of the sagas.
            now_ns: The present moment, unix ns.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaHistory:
    """An instance of a flow that has started and ended, to be reported. Times are unix ns.

    Attributes:
        context: The context from the instance's start.
        outcome: How the instance ended.
        ended_ns: When the instance ended.
        deadline_ns: The instance's deadline.
        steps: Steps to report, each as `(name, started_ns, ended_ns)`; a step starts when the
            previous one ends.
        end_reported: Whether the end was reported before, and only a late step is new.
    """

    context: SagaContext
    outcome: SagaOutcome
    ended_ns: int
    deadline_ns: int
    steps: tuple[tuple[str, int, int], ...]
    end_reported: bool


class SagaLog(SagaHealthSource, Protocol):
    """Stores the events of flows durably. `tracing.sql.SqlSagaLog` is one for SQLAlchemy."""

    async def note(
        self,
        saga: str,
        event: FlowEvent,
        *,
        context: SagaContext | None = None,
        deadline_ns: int | None = None,
    ) -> SagaHistory | None:
        """Store an event. A repeated event, or another order of events, changes nothing.

        Args:
            saga: The name of the flow.
            event: The event.
            context: The instance's context, if the event starts the instance.
            deadline_ns: The instance's deadline, unix ns, if the event starts the instance.

        Returns:
            What to report: the whole instance once both its start and its end are known, or a
            step that arrived after that; otherwise `None`.
        """
