"""The values of a report: a run's result, and what is read from its spans."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a service logged inside a span; `at_ns` is its time, unix ns."""

    at_ns: int
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a finished run.

    Attributes:
        spans: The ended spans of all services.
        metrics: The last cumulative metrics of each service.
        order_ids: The orders accepted over HTTP in this run.
        services: The `service.name` values that the trace of every order must span.
        scenario: The scenario's name.
        started_unix_ns: The start of the run, unix ns.
        duration_s: How long the run took, in seconds.
        problems: What went wrong with the run as a whole, one line each: it was stopped, a service
            failed, orders were refused or did not end.
        users: The customers of orders by order id; empty unless the run may name them.
        logs: The log lines of spans, by trace id and span id; empty unless the run kept them.
    """

    spans: tuple[ReadableSpan, ...]
    metrics: tuple[MetricsData, ...]
    order_ids: tuple[str, ...]
    services: tuple[str, ...]
    scenario: str
    started_unix_ns: int
    duration_s: float
    problems: tuple[str, ...] = ()
    users: Mapping[str, str] = field(default_factory=dict)
    logs: Mapping[tuple[int, int], Sequence[LogLine]] = field(default_factory=dict)


_NOT_COMPLETED: Final = frozenset({"compensated", "failed"})


class Role(Enum):
    """The role of a span in the flow of an order."""

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
    """One saga, or one step of it. Texts that the span lacks are empty.

    Attributes:
        name: The saga's name.
        saga_id: Its id.
        step: The step or compensation; empty for the saga itself.
        outcome: How the saga itself ended: `completed`, `compensated` or `failed`.
        compensation: Whether the step is a compensation.
        overdue: Whether the saga ended after its deadline.
    """

    name: str
    saga_id: str
    step: str
    outcome: str
    compensation: bool
    overdue: bool


@dataclass(frozen=True, slots=True)
class EventFacts:
    """An event of a span, for example an exception; `at_ns` is its time, unix ns."""

    name: str
    at_ns: int
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class SpanFacts:
    """One span, read tolerantly: an attribute that is missing or of a wrong type is neutral.

    Times are unix ns. `wait_ns` is how long the record spent in the broker before a process span,
    `publish_ns` is how long it took from the creation of its event until it was written,
    `connection_ns` is how long the work of the span waited for its database,
    `backoff_ns` is the pause before a retry, and `end_to_end_ns` is the age of the flow when the
    processing ended; each is `None` if the span lacks it. `attempts` is the number of attempts of a
    process span. `duplicate` means that the record was skipped because it had been applied before.
    `out_of_order` means that it was handled out of the order of its key, and `catch_up` that it was
    history to a group that started on it.
    `saga` is set on the spans of sagas and of their steps.
    """

    trace_id: int
    span_id: int
    parent_id: int | None
    name: str
    message_type: str
    service: str
    kind: str
    role: Role
    topic: str
    group: str
    conversation_id: str
    start_ns: int
    end_ns: int
    wait_ns: int | None
    publish_ns: int | None
    connection_ns: int | None
    backoff_ns: int | None
    end_to_end_ns: int | None
    attempts: int
    outcome: str
    error_type: str
    failed: bool
    duplicate: bool
    out_of_order: bool
    catch_up: bool
    saga: SagaFacts | None
    attributes: Mapping[str, object]
    events: tuple[EventFacts, ...]

    @property
    def title(self) -> str:
        """The span's name, with the type of its message if it has one."""
        return f"{self.name} · {self.message_type}" if self.message_type else self.name

    @property
    def duration_ns(self) -> int:
        """How long the span took."""
        return self.end_ns - self.start_ns

    @property
    def reader(self) -> str:
        """The service, with its group if that has another name."""
        return reader(self.service, self.group)

    @property
    def lead_ns(self) -> int | None:
        """The wait before the span: in the broker, or before a retry."""
        return self.backoff_ns if self.role is Role.RETRY else self.wait_ns

    @property
    def mark(self) -> str:
        """The remark shown beside the span's name; mostly empty."""
        if self.duplicate:
            return "duplicate"
        if self.out_of_order:
            return "out of order"
        if self.catch_up:
            return "catch-up"
        if self.saga is None:
            return ""
        return "compensation" if self.saga.compensation else "overdue" * self.saga.overdue


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """All spans of one trace id, by start. Compared by identity; its orders share it."""

    trace_id: int
    spans: tuple[SpanFacts, ...]

    @property
    def dead_lettered(self) -> bool:
        """Whether a record in it was dead-lettered."""
        return any(
            span.role is Role.DEAD_LETTER or span.outcome == "dead_lettered" for span in self.spans
        )

    @property
    def saga_not_completed(self) -> bool:
        """Whether a saga in it was compensated or failed."""
        return any(
            span.role is Role.SAGA and span.saga is not None and span.saga.outcome in _NOT_COMPLETED
            for span in self.spans
        )


@dataclass(frozen=True, slots=True)
class OrderTrace:
    """An order and its traces, of which there should be exactly one."""

    order_id: str
    traces: tuple[Trace, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Nearest-rank percentiles of durations, in ns: each is a value that occurred."""

    p50: int
    p95: int
    p99: int
    max: int


@dataclass(frozen=True, slots=True)
class Hop:
    """One consumer group reading one topic, over the whole run.

    `connection` is how long handlers waited for their database, and `retry` the time from the end
    of the first attempt to the start of the last one, of retried records only; `processing`
    includes neither. `end_to_end` counts from the origin of the flow.
    """

    service: str
    group: str
    topic: str
    records: int
    wait: Distribution | None
    processing: Distribution | None
    connection: Distribution | None
    retry: Distribution | None
    end_to_end: Distribution | None
    rejected: int
    errors: int

    @property
    def reader(self) -> str:
        """The service, with its group if that has another name."""
        return reader(self.service, self.group)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the time on an order's critical path went, in ns; the parts add up to the whole.

    `database_ns` is how long handlers waited for their database, and no part of `processing_ns`.
    """

    wait_ns: int = 0
    processing_ns: int = 0
    publish_ns: int = 0
    retry_ns: int = 0
    other_ns: int = 0
    database_ns: int = 0

    @property
    def total_ns(self) -> int:
        """The total time on the path."""
        return sum(duration for _, duration in self.parts())

    def parts(self) -> tuple[tuple[str, int], ...]:
        """Return the parts by name; `retry` is backoff."""
        return (
            ("wait", self.wait_ns),
            ("database wait", self.database_ns),
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
    def dead_lettered(self) -> bool:
        """Whether a record of the order was dead-lettered."""
        return any(trace.dead_lettered for trace in self.order.traces)


def reader(service: str, group: str) -> str:
    """Return the service, with its consumer group if that has another name."""
    return service if group in {"", service} else f"{service}/{group}"
