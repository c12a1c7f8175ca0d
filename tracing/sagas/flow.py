"""A choreographed flow, declared as data, and the meaning of one event for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tracing.core.text import plain_text
from tracing.headers import cloudevents
from tracing.headers.codec import latest, text
from tracing.sagas.context import SAGA_OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.messaging.transport import Message
    from tracing.sagas.context import SagaOutcome

STARTED_STATE: Final = "started"
_MAX_STEP: Final = 128
_MAX_DEADLINE_S: Final = 3e9
# Half the range of 64 bits, unix ns: a deadline still fits after it.
_MAX_NS: Final = 2**62
_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaFlow:
    """The events of a business transaction that a `SagaObserver` watches.

    Attributes:
        name: The flow's name, for example `order-notification`. A metric label.
        start: The `ce_type` that starts the flow.
        steps: Maps the `ce_type` of each step to the step's name. An event that ends the flow can
            be a step as well.
        ends: Maps the `ce_type` of each end to the outcome.
        deadline_s: Time after the start at which an instance is overdue, in seconds.
        correlation: The header that all events of one instance share; by default the CloudEvents
            subject.

    Raises:
        TypeError: A name or an event type is not text, so no event would ever match it.
        ValueError: No event ends the flow, or a value is out of range.
    """

    name: str
    start: str
    ends: Mapping[str, SagaOutcome]
    deadline_s: float
    steps: Mapping[str, str] = field(default_factory=dict)
    correlation: str = cloudevents.SUBJECT

    def __post_init__(self) -> None:
        self._check_texts()
        if not self.ends:
            raise ValueError(f"flow {self.name!r} needs at least one event that ends it")
        for outcome in self.ends.values():
            if outcome not in SAGA_OUTCOMES:
                raise ValueError(
                    f"flow {self.name!r} cannot end as {outcome!r}; use one of "
                    f"{', '.join(SAGA_OUTCOMES)}"
                )
        for step in self.steps.values():
            if not step or len(step) > _MAX_STEP or not step.isprintable():
                raise ValueError(
                    f"flow {self.name!r}: the name of a step must be 1 to {_MAX_STEP} printable "
                    f"characters, not {step!r}"
                )
        if not 0 < self.deadline_s <= _MAX_DEADLINE_S:
            raise ValueError(
                f"deadline_s must be positive seconds, at most {_MAX_DEADLINE_S:g}, not "
                f"{self.deadline_s!r}"
            )

    def _check_texts(self) -> None:
        for argument in ("name", "start", "correlation"):
            plain_text(getattr(self, argument), argument)
        for argument, events in (("steps", self.steps), ("ends", self.ends)):
            for kind in events:
                plain_text(kind, f"an event type in {argument}")
        for step in self.steps.values():
            plain_text(step, "the name of a step")

    def read(self, record: Message) -> FlowEvent | None:
        """Return a record's meaning for the flow; `None` without one. Never raises."""
        headers = latest(record.headers)
        kind = text(headers.get(cloudevents.TYPE), cloudevents.MAX_VALUE)
        saga_id = text(headers.get(self.correlation), cloudevents.MAX_VALUE)
        if not kind or not saga_id:
            return None
        starts, step, outcome = kind == self.start, self.steps.get(kind), self.ends.get(kind)
        if not starts and step is None and outcome is None:
            return None
        event_time = text(headers.get(cloudevents.TIME), cloudevents.MAX_VALUE)
        return FlowEvent(
            saga_id=saga_id,
            at_ns=_moment_ns(event_time, record.timestamp),
            starts=starts,
            step=step,
            outcome=outcome,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowEvent:
    """The meaning of one event for one instance of a flow.

    Attributes:
        saga_id: The instance's id.
        at_ns: When the event happened, unix ns.
        starts: Whether the event starts the instance.
        step: The step that the event ends, if any.
        outcome: The outcome with which the event ends the instance, if it does.
    """

    saga_id: str
    at_ns: int
    starts: bool
    step: str | None
    outcome: SagaOutcome | None

    @property
    def state(self) -> str:
        """The instance's state after the event: its outcome, its last step or `started`."""
        return self.outcome or self.step or STARTED_STATE


def _moment_ns(event_time: str | None, timestamp_ms: object) -> int:
    """Return the event's own time, or else when it was produced, unix ns.

    A time that no store can hold is ignored.
    """
    if event_time is not None:
        try:
            moment = datetime.fromisoformat(event_time)
            if moment.tzinfo is not None:
                moment_ns = max(0, round(moment.timestamp() * 1_000_000) * _NS_PER_US)
                if moment_ns <= _MAX_NS:
                    return moment_ns
        except (ValueError, OverflowError):
            pass
    produced_ms = timestamp_ms if isinstance(timestamp_ms, int) else 0
    return min(max(0, produced_ms) * _NS_PER_MS, _MAX_NS)
