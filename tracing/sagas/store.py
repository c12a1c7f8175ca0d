"""What a `SagaObserver` needs of the store in which it keeps what it has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tracing.sagas.health import SagaHealthSource

if TYPE_CHECKING:
    from tracing.sagas.context import SagaContext
    from tracing.sagas.flow import Sighting
    from tracing.sagas.outcomes import SagaOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaHistory:
    """What can be told of an instance of a flow that has started and ended. Times are unix ns.

    Attributes:
        context: As it was made when the start was seen.
        outcome: How it ended.
        ended_ns: When.
        deadline_ns: From when on it was overdue.
        steps: Steps that have not been told: by name, with when the one before and they ended.
        told: Whether the end has been told before, and only a step came late.
    """

    context: SagaContext
    outcome: SagaOutcome
    ended_ns: int
    deadline_ns: int
    steps: tuple[tuple[str, int, int], ...]
    told: bool


class SagaLog(SagaHealthSource, Protocol):
    """Keeps sightings durably. `tracing.sql.SqlSagaLog` is one for SQLAlchemy."""

    async def note(
        self,
        saga: str,
        sighting: Sighting,
        *,
        context: SagaContext | None = None,
        deadline_ns: int | None = None,
    ) -> SagaHistory | None:
        """Keep what an event says. The same event again, or in another order, changes nothing.

        Args:
            saga: The name of the flow.
            sighting: What the event says.
            context: Where the instance's telemetry belongs, if the event starts it.
            deadline_ns: From when on it is overdue, unix ns, if the event starts it.

        Returns:
            What there is to tell: of an instance of which both start and end are known now, and
            were not before, or of which a step came later than its end; else `None`.
        """
