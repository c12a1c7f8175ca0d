"""A flow that nobody orchestrates, declared as data, and what one event says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tracing import cloudevents
from tracing.headers import latest, text
from tracing.sagas.outcomes import SAGA_OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.structs import ConsumerRecord

    from tracing.sagas.outcomes import SagaOutcome

STARTED_STATE: Final = "started"
_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaFlow:
    """The events that make a business transaction, as a `SagaObserver` is to see it.

    Attributes:
        name: What the flow is called, for example `order-notification`. A metric label.
        start: The `ce_type` that starts it.
        steps: The `ce_type` of each step, with the step's name. What ends the flow can be a step
            as well.
        ends: The `ce_type` of each end, with the outcome.
        deadline_s: From when on it is overdue, in seconds after its start.
        correlation: The header whose value all events of one instance share; by default the
            CloudEvents subject.

    Raises:
        ValueError: Nothing ends it, or a value is impossible.
    """

    name: str
    start: str
    ends: Mapping[str, SagaOutcome]
    deadline_s: float
    steps: Mapping[str, str] = field(default_factory=dict)
    correlation: str = cloudevents.SUBJECT

    def __post_init__(self) -> None:
        if not self.ends:
            raise ValueError(f"flow {self.name!r} needs at least one event that ends it")
        for outcome in self.ends.values():
            if outcome not in SAGA_OUTCOMES:
                raise ValueError(
                    f"flow {self.name!r} cannot end as {outcome!r}; use one of "
                    f"{', '.join(SAGA_OUTCOMES)}"
                )
        if not self.deadline_s > 0:
            raise ValueError(f"deadline_s must be positive seconds, not {self.deadline_s!r}")

    def read(self, record: ConsumerRecord[Any, Any]) -> Sighting | None:
        """What a record says of the flow; `None` for nothing. Never raises."""
        headers = latest(record.headers)
        kind = text(headers.get(cloudevents.TYPE), cloudevents.MAX_VALUE)
        saga_id = text(headers.get(self.correlation), cloudevents.MAX_VALUE)
        if not kind or not saga_id:
            return None
        starts, step, outcome = kind == self.start, self.steps.get(kind), self.ends.get(kind)
        if not starts and step is None and outcome is None:
            return None
        written = text(headers.get(cloudevents.TIME), cloudevents.MAX_VALUE)
        return Sighting(
            saga_id=saga_id,
            at_ns=_moment_ns(written, record.timestamp),
            starts=starts,
            step=step,
            outcome=outcome,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one event says of one instance of a flow.

    Attributes:
        saga_id: Which instance.
        at_ns: When the event happened, unix ns.
        starts: Whether it starts the instance.
        step: The step that it ends, if any.
        outcome: How it ends the instance, if it does.
    """

    saga_id: str
    at_ns: int
    starts: bool
    step: str | None
    outcome: SagaOutcome | None

    @property
    def state(self) -> str:
        """Where the instance stands after it: named after the last thing that happened."""
        return self.outcome or self.step or STARTED_STATE


def _moment_ns(written: str | None, timestamp_ms: int) -> int:
    """When an event happened: as its sender says, else when it was produced."""
    if written is not None:
        try:
            moment = datetime.fromisoformat(written)
            if moment.tzinfo is not None:
                microseconds = round(moment.timestamp() * 1_000_000)
                return max(0, microseconds * _NS_PER_US)
        except (ValueError, OverflowError):
            pass
    return max(0, timestamp_ms) * _NS_PER_MS
