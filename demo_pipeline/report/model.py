"""The values of a report: what a finished run hands in, and what is read out of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan


@dataclass(frozen=True, slots=True)
class RunResult:
    """All that a finished run leaves behind.

    Attributes:
        spans: the ended spans of all services.
        metrics: the last cumulative metrics of each service.
        order_ids: the orders accepted over HTTP in this run.
        services: the `service.name` values that the trace of every order must span.
        scenario: the scenario's name.
        started_unix_ns: the start of the run, unix ns.
        duration_s: how long the run took, in seconds.
        problems: what went wrong with the run as a whole, one line each: it was stopped, a service
            failed, orders were refused or did not end.
    """

    spans: tuple[ReadableSpan, ...]
    metrics: tuple[MetricsData, ...]
    order_ids: tuple[str, ...]
    services: tuple[str, ...]
    scenario: str
    started_unix_ns: int
    duration_s: float
    problems: tuple[str, ...] = ()


_TURNED_BACK: Final = frozenset({"compensated", "failed"})


class Role(Enum):
    """What a span stands for on an order's way."""

    SEND = "send"
    PROCESS = "process"
    POLL = "poll"
    RETRY = "retry"
    DEAD_LETTER = "dead_letter"
    SAGA = "saga"
    SAGA_STEP = "saga.step"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SagaFacts:
    """One saga, or one step of it. Texts that the span does not tell are empty.

    Attributes:
        name: What sagas of its kind are called.
        saga_id: Which one of them it is.
        step: The step or compensation; empty for the saga as a whole.
        outcome: How the saga as a whole ended: `completed`, `compensated` or `failed`.
        compensation: Whether the step undoes another one.
        overdue: Whether the saga ended after its deadline.
    """

    name: str
    saga_id: str
    step: str
    outcome: str
    compensation: bool
    overdue: bool


@dataclass(frozen=True, slots=True, eq=False)
class SpanFacts:
    """One span, read tolerantly: whatever was missing or of a wrong type has a neutral value.

    Times are unix ns. `wait_ns` is the time the record spent in the broker before a process span
    started, `backoff_ns` how long was waited before another attempt at it, `end_to_end_ns` how long
    the flow had taken since its origin when the processing ended; they are `None` where the span
    does not tell. `attempts` is how many a process span took, and `duplicate` says that the record
    was skipped because it had been applied before. `saga` is what the spans of sagas and of their
    steps have beside that.
    """

    trace_id: int
    span_id: int
    parent_id: int | None
    name: str
    service: str
    kind: str
    role: Role
    topic: str
    group: str
    conversation_id: str
    start_ns: int
    end_ns: int
    wait_ns: int | None
    backoff_ns: int | None
    end_to_end_ns: int | None
    attempts: int
    outcome: str
    error_type: str
    failed: bool
    duplicate: bool
    saga: SagaFacts | None
    attributes: Mapping[str, object]

    @property
    def duration_ns(self) -> int:
        """How long the span took."""
        return self.end_ns - self.start_ns

    @property
    def reader(self) -> str:
        """The service, with its group where that goes by another name."""
        return reader(self.service, self.group)

    @property
    def lead_ns(self) -> int | None:
        """How long was waited before the span: in the broker, or for another attempt."""
        return self.backoff_ns if self.role is Role.RETRY else self.wait_ns

    @property
    def mark(self) -> str:
        """What people should know of the span beside its name; mostly nothing."""
        if self.duplicate:
            return "duplicate"
        if self.saga is None:
            return ""
        return "compensation" if self.saga.compensation else "overdue" * self.saga.overdue


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """All spans of one trace id, by start. Compared by identity, shared between its orders."""

    trace_id: int
    spans: tuple[SpanFacts, ...]

    @property
    def given_up(self) -> bool:
        """Whether a record in it became a dead letter."""
        return any(
            span.role is Role.DEAD_LETTER or span.outcome == "dead_lettered" for span in self.spans
        )

    @property
    def turned_back(self) -> bool:
        """Whether a saga in it came to another end than it was to."""
        return any(
            span.role is Role.SAGA and span.saga is not None and span.saga.outcome in _TURNED_BACK
            for span in self.spans
        )


@dataclass(frozen=True, slots=True)
class OrderTrace:
    """An order and its traces: exactly one when all is well."""

    order_id: str
    traces: tuple[Trace, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Nearest-rank percentiles of a set of durations, in ns: each is a value that occurred."""

    p50: int
    p95: int
    p99: int
    max: int


@dataclass(frozen=True, slots=True)
class Hop:
    """One consumer group reading one topic, over the whole run.

    `retry`, from the first attempt's end to the last one's start, is of the records that were tried
    again, and not in `processing`; `end_to_end` is from the origin of the flow.
    """

    service: str
    group: str
    topic: str
    records: int
    wait: Distribution | None
    processing: Distribution | None
    retry: Distribution | None
    end_to_end: Distribution | None
    rejected: int
    errors: int

    @property
    def reader(self) -> str:
        """The service, with its group where that goes by another name."""
        return reader(self.service, self.group)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the time on an order's critical path went, in ns; its parts leave no rest."""

    wait_ns: int = 0
    processing_ns: int = 0
    publish_ns: int = 0
    retry_ns: int = 0
    other_ns: int = 0

    @property
    def total_ns(self) -> int:
        """The whole time on the path."""
        return sum(duration for _, duration in self.parts())

    def parts(self) -> tuple[tuple[str, int], ...]:
        """Name the parts, in the order in which people ask for them; `retry` is backoff."""
        return (
            ("wait", self.wait_ns),
            ("processing", self.processing_ns),
            ("publish", self.publish_ns),
            ("retry", self.retry_ns),
            ("other", self.other_ns),
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """From the start of the HTTP request to the end of the last processing, unix ns."""

    start_ns: int
    end_ns: int
    breakdown: Breakdown

    @property
    def duration_ns(self) -> int:
        """End-to-end time."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class OrderReport:
    """An order with its timing, and what is broken about its trace."""

    order: OrderTrace
    timing: Timing | None
    fault: str | None

    @property
    def given_up(self) -> bool:
        """Whether a record of the order became a dead letter."""
        return any(trace.given_up for trace in self.order.traces)


def reader(service: str, group: str) -> str:
    """Who reads: the service, with its group where that goes by another name."""
    return service if group in {"", service} else f"{service}/{group}"
