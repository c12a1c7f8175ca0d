"""Handling one record: its process span is current in the handler and ends with its outcome."""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import INVALID_SPAN, Status, StatusCode

from tracing.core import semconv
from tracing.core.otel_context import (
    BAGGAGE_KEY,
    FLOW_KEY,
    PROCESSING_KEY,
    RECORD_KEY,
    SPAN_KEY,
    SUPPRESSED,
)
from tracing.headers import cloudevents
from tracing.headers.codec import latest
from tracing.headers.dead_letter import REPLAY_GROUP, Replay
from tracing.headers.flow import parse_origin
from tracing.messaging.catch_up import begun_anew
from tracing.messaging.handling import Handling, running_task
from tracing.messaging.message_type import type_of
from tracing.messaging.outcome import DEAD_LETTERED, ERROR, OK, Rejected, decisive
from tracing.messaging.process_span import RetriedAttempt, begin_process_span, process_attributes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from contextvars import Token

    from opentelemetry.trace import Span, SpanContext

    from tracing.core.semconv import AttributeValue
    from tracing.messaging.flow_lag import ArrivalDurations
    from tracing.messaging.outcome import Outcome
    from tracing.messaging.subscription import TypedLane
    from tracing.messaging.transport import Message
    from tracing.telemetry import Telemetry

_ERROR_STATUS = Status(StatusCode.ERROR)


class Processing(Handling):
    """The handling of one record; made by `TracedConsumer.process`.

    Enter it, as a context manager, in the task that handles the record; the span is current until
    it is left, and ends then. It belongs to that task; several can be open in several tasks.

    Attributes:
        record: The record that is handled.
        span: Its process span; invalid before the handling starts.
    """

    # Slots and flat code below: one of these is made for every record.
    __slots__ = (
        "_arrival", "_attempt", "_attempts", "_before", "_context", "_duration", "_ended_ns",
        "_failed_as", "_headers", "_lane", "_origin", "_polled", "_recording", "_started", "_task",
        "_telemetry", "_token", "_waits", "record", "span",
    )  # fmt: skip

    def __init__(
        self,
        telemetry: Telemetry,
        lane: TypedLane,
        record: Message,
        polled: SpanContext | None,
        headers: Mapping[str, object] | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._lane = lane
        self._polled = polled
        self._headers = headers
        # Also what only its own kind of broker has, such as an offset.
        self.record: Any = record
        self.span: Span = INVALID_SPAN
        self._recording = False
        self._before: Context | None = None
        self._context: Context | None = None
        self._token: Token[Context] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._started = 0.0
        self._duration: float | None = None
        self._ended_ns: int | None = None
        self._outcome: Outcome = OK
        self._reason: str | None = None
        self._failed_as: Outcome = ERROR
        self._attempts = 1
        self._attempt: RetriedAttempt | None = None
        self._waits: dict[str, float] = {}
        self._arrival: ArrivalDurations | None = None
        self._origin: int | None = None

    def duplicate(self) -> None:
        """Note a duplicate: the record's event is not counted in the flow's lag."""
        self._origin = None

    def waited(self, resource: str, seconds: float) -> None:
        """Record that the handler waited until now; see `tracing.waited_for`. Never raises."""
        # Between two attempts, and after the last one, no handler waits.
        if self._duration is None:
            span = self.span if self._attempt is None else self._attempt.span
            self._lane.waits.note(
                resource, seconds, started=self._started, noted=self._waits, span=span
            )

    def dead_lettered(self) -> None:
        """The record failed and was moved to the dead letters; `end` it with its error."""
        self._failed_as = DEAD_LETTERED

    @property
    def counts_in_flow(self) -> bool:
        """Whether its lag counts in its flow: not that of a replay, or of history."""
        return self._arrival is not None

    @property
    def event(self) -> cloudevents.CloudEvent | None:
        """The record's CloudEvents metadata; `None` when it carries none."""
        return cloudevents.CloudEvent.from_headers(self.record.headers)

    def start(self, task: asyncio.Task[Any] | None = None) -> None:
        """Start the span and make it current in the running task. Never raises.

        Args:
            task: The running task, if the caller has it.
        """
        try:
            self._start(task or running_task())
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def pause(self, task: asyncio.Task[Any] | None = None) -> float:
        """Stop the clock and restore the context after the handler; `end` records the outcome.

        Args:
            task: The running task, if the caller has it.

        Returns:
            How long it took, in seconds.
        """
        duration = self.stop_clock()
        if self._recording:
            self._ended_ns = time_ns()
        token, self._token = self._token, None
        if token is None:
            return duration
        # Whatever was started in here refers to this, and may outlive the task.
        own, self._task = self._task, None
        # Detaching in another task would fail, and that task's context is not ours to change.
        if own is (task or running_task()):
            in_order = get_current() is self._context
            detach(token)
            if not in_order:
                self._task, self._before = own, get_current()
        return duration

    def handled_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Return whether the record is being handled in this task."""
        return self._token is not None and self._task is task

    def left_behind(self, context: Context, task: asyncio.Task[Any] | None) -> Context | None:
        """The context from before, if this ended while another that began later went on.

        That one restores `context`, which is then left behind in the task; else `None`.
        """
        return self._before if self._task is task and self._context is context else None

    def stop_clock(self) -> float:
        """Stop the clock of the attempt; return its duration, in seconds."""
        if self._duration is None:
            self._duration = perf_counter() - self._started
        return self._duration

    def attempt_failed(self, error: Exception) -> None:
        """Note an attempt that failed and is not the last one. Never raises."""
        try:
            self._note(error, self.stop_clock())
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)

    def retry(self, number: int, backoff_s: float, cause: Exception) -> RetriedAttempt:
        """Begin another attempt in the same task, and start the clock anew. Never raises.

        Args:
            number: Which attempt it is; the first one, which `start` began, was 1.
            backoff_s: The wait before it, in seconds.
            cause: The error of the attempt before.
        """
        self._attempts = number
        self._duration = None
        self._waits = {}
        self._attempt = attempt = RetriedAttempt(
            self._telemetry,
            self._lane,
            self._context or get_current(),
            {
                **cloudevents.identity(latest(self.record.headers)),
                **self._lane.transport.attributes(self.record),
                semconv.ATTEMPT: number,
                semconv.BACKOFF: backoff_s,
                semconv.RETRY_CAUSE: semconv.error_type(cause),
            },
        )
        self._started = perf_counter()
        return attempt

    def end(
        self, error: BaseException | None = None, task: asyncio.Task[Any] | None = None
    ) -> None:
        """End the span with the handler's outcome, as `pause` if need be. Never raises."""
        duration = self._duration
        if duration is None or self._token is not None:
            duration = self.pause(task)
        try:
            if error is None and not self._recording:
                self._lane.series.succeeded.record(duration)
                if self._origin is not None:
                    self._arrived(self._origin)
            else:
                self._end(error, duration)
        except Exception as fault:
            self._telemetry.diagnostics.failed("process", fault)
        if self._before is None:
            # It refers to this: the two would stay until the garbage collector runs.
            self._context = None

    def _start(self, task: asyncio.Task[Any] | None) -> None:
        self._started = perf_counter()
        telemetry, record = self._telemetry, self.record
        ambient = get_current()
        if ambient.get(SUPPRESSED):
            return
        present = latest(record.headers) if self._headers is None else self._headers
        message_type = present.get(cloudevents.TYPE)
        if message_type.__class__ is not bytes or telemetry.message_type is not None:
            message_type = type_of(telemetry, record, present)
        self._lane = lane = self._lane.types[message_type]
        extracted = telemetry.propagation.extract(
            record.headers, present, lane.topic, record.timestamp
        )
        _, flow, other = extracted
        # One clock reading for both, so that the wait and the span add up.
        now_ns = time_ns()
        wait_ms = now_ns // 1_000_000 - record.timestamp
        span = begin_process_span(
            telemetry,
            lane,
            record,
            extracted,
            ambient,
            polled=self._polled,
            wait_ms=wait_ms,
            start_ns=now_ns,
            message_type=message_type,
        )
        self.span = span
        if wait_ms < 0:
            telemetry.diagnostics.clock_skew.value += 1
            wait_ms = 0
        fault = None
        # History and replays are late by their nature, and would hide the lag of the others.
        if lane.catch_up is not None and lane.catch_up.takes(record):
            flow = begun_anew(flow)
        elif REPLAY_GROUP not in present or Replay.of(record) is None:
            if record.timestamp >= 0:
                self._arrival = arrival = lane.arrivals.of(flow)
                arrival.wait.record(wait_ms / 1000, span)
                self._origin = parse_origin(flow.get(semconv.ORIGIN))
            if lane.order is not None:
                fault = lane.order.fault(record, present)
        if span.is_recording():
            self._recording = True
            telemetry.spans.enrich(
                span,
                process_attributes(telemetry, lane, record, present, flow, wait_ms, message_type),
            )
            if fault is not None:
                span.add_event(semconv.OUT_OF_ORDER, fault)
        # The handler sees the message's baggage, whatever the span's parent is and whatever
        # baggage the consuming code runs with, and all else that it would see unwrapped.
        self._context = context = Context(
            {
                **ambient,
                **other,
                BAGGAGE_KEY: flow,
                FLOW_KEY: flow,
                SPAN_KEY: span,
                PROCESSING_KEY: self,
                RECORD_KEY: record,
            }
        )
        self._task = task
        self._token = attach(context)

    def _end(self, error: BaseException | None, duration: float) -> None:
        span = self.span
        error = None if error is None else decisive(error)
        if isinstance(error, Rejected):
            self.reject(error.reason)
            error = None
        # A request to stop is neither a failure nor an outcome: the record will be delivered again.
        stopped = error is not None and not isinstance(error, Exception)
        if error is not None and not stopped:
            self._outcome = self._failed_as
            self._note(error, duration)
            if self._recording:
                span.set_attribute(semconv.ERROR_TYPE, semconv.error_type(error))
                span.set_status(_ERROR_STATUS)
        elif not stopped:
            self._lane.series.succeeded.record(duration, span)
            if self._origin is not None:
                self._arrived(self._origin)
        if not stopped:
            self._telemetry.spans.enrich(span, {semconv.OUTCOME: self._outcome})
        if self._attempts > 1:
            self._telemetry.spans.enrich(span, {semconv.ATTEMPTS: self._attempts})
        if self._reason is not None:
            self._telemetry.spans.enrich(span, {semconv.REJECTION_REASON: self._reason})
        span.end(self._ended_ns)

    def _arrived(self, origin_ms: int) -> None:
        """The flow has come so far: note how long that took since its origin."""
        # The end of the span, where there is one.
        lag_ms = (self._ended_ns or time_ns()) // 1_000_000 - origin_ms
        if lag_ms < 0:
            self._telemetry.diagnostics.origin_skew.value += 1
            lag_ms = 0
        if self._arrival is not None:
            self._arrival.end_to_end.record(lag_ms / 1000, self.span)
        if self._recording:
            self._telemetry.spans.enrich(self.span, {semconv.END_TO_END: lag_ms / 1000})

    def _note(self, error: BaseException, duration: float) -> None:
        self._lane.series.failed(semconv.error_type(error)).record(duration, self.span)
        if self._context is not None:
            self._telemetry.record_exception(
                semconv.PROCESS, error, self._described(), self._context
            )

    def _described(self) -> dict[str, AttributeValue]:
        attributes = dict(self._lane.attributes)
        attributes.update(self._lane.transport.attributes(self.record))
        attributes.update(cloudevents.identity(latest(self.record.headers)))
        return attributes
