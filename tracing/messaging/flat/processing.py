"""What applications see of a flat handling: a `Processing`, and how the general code takes over.

Most handlers never ask for it, or only read from it. What needs more than the flat path can do,
such as a rejection, an error, another attempt or a pause, makes it a general handling of the same
span, once and for good.
"""

from __future__ import annotations

from time import time_ns
from typing import TYPE_CHECKING, Any, Protocol, cast

from opentelemetry.trace import INVALID_SPAN

from tracing.core.otel_context import PROCESSING_KEY, RECORD_KEY
from tracing.headers.flow import NO_FLOW
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.handling import running_task
from tracing.messaging.process import Processing

if TYPE_CHECKING:
    import asyncio

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

    from tracing.messaging.process_span import RetriedAttempt
    from tracing.messaging.subscription import SubscribedLane
    from tracing.telemetry import Telemetry


class Beginning(Protocol):
    """What begins the handling of a consumer's records: a `FlatProcesses`."""

    @property
    def telemetry(self) -> Telemetry:
        """What the service's clients share."""

    def begin(self, record: Any) -> FlatHandling | None:
        """Begin to handle a record on the flat path; `None` where the general code has to."""

    def origin_of(
        self, record: Any, place: tuple[str, int]
    ) -> tuple[SubscribedLane, SpanContext | None]:
        """Return what the general code needs: a record's lane, and the poll that brought it."""


class FlatProcessing(Processing):
    """A `Processing` that begins on the flat path, if its record may.

    Until the general code takes over, the flat handling has the state, and the slots of
    `Processing` itself are not filled.
    """

    __slots__ = ("_flat", "_general", "_place", "_processes")

    _processes: Beginning | None
    _flat: FlatHandling | None

    def __init__(self, processes: Beginning, record: Any) -> None:
        # Not the base's: see above.
        self._processes = processes
        # Whatever is no record is refused here, as by the general code.
        self._place = record.topic, record.partition
        self._flat = None
        self._general = False
        self.record = record
        self.span = INVALID_SPAN

    @classmethod
    def around(cls, flat: FlatHandling, record: Any) -> FlatProcessing:
        """Make that of a flat handling that has begun."""
        made: FlatProcessing = object.__new__(cls)
        made._processes = None
        made._general = False
        made.record = record
        made._flat = flat
        made.span = cast("Any", flat)
        return made

    def take_over(self) -> None:
        """Let the general code handle the record from now on."""
        if self._general:
            return
        self._general = True
        flat, processes, record = self._flat, self._processes, self.record
        if flat is None:
            if processes is not None:
                lane, polled = processes.origin_of(record, self._place)
                super().__init__(processes.telemetry, lane, record, polled)
                self._processes = None
            return
        plan = flat.plan
        super().__init__(plan.telemetry, plan.lane, record, None)
        self.span = cast("Any", flat)
        self._recording = flat.recorded
        self._context = flat.entered
        self._started = flat.started
        self._arrival = flat.arrival
        self._origin = flat.origin_ms
        if flat.waits is not None:
            self._waits = flat.waits
        flat.general = self
        if flat.broken:
            # Only its duration counts.
            self.span, self._flat, self._recording = INVALID_SPAN, None, False
            self._origin = self._arrival = None

    def start(self, task: asyncio.Task[Any] | None = None) -> None:
        """Start the span and make it current in the running task. Never raises.

        Args:
            task: The running task, if the caller has it.
        """
        processes = self._processes
        if processes is not None:
            flat = processes.begin(self.record)
            if flat is not None:
                # They belong to the consumer, which may be freed before this.
                self._processes = None
                self._flat = flat
                self.span = cast("Any", flat)
                flat.view = self
                if flat.broken:
                    self.take_over()
                return
        self.take_over()
        super().start(task)

    def pause(self, task: asyncio.Task[Any] | None = None) -> float:
        """Stop the clock and restore the context after the handler; `end` records the outcome.

        Args:
            task: The running task, if the caller has it.

        Returns:
            How long it took, in seconds.
        """
        self.take_over()
        flat = self._flat
        if flat is None:
            return super().pause(task)
        duration = self.stop_clock()
        if self._recording:
            self._ended_ns = time_ns()
        flat.detach(flat.plan.current)
        return duration

    def end(
        self, error: BaseException | None = None, task: asyncio.Task[Any] | None = None
    ) -> None:
        """End the span with the handler's outcome, as `pause` if need be. Never raises."""
        flat = self._flat
        if flat is None:
            self.take_over()
            super().end(error, task)
        elif not self._general:
            flat.end_handling(error)
        else:
            if self._duration is None or flat.token is not None:
                self.pause()
            super().end(error)
            # They refer to each other.
            flat.general = flat.view = None
            flat.flow, flat.baggage = NO_FLOW, None

    def handled_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Return whether the record is being handled in this task."""
        flat = self._flat
        if flat is None:
            return self._general and super().handled_in(task)
        return task is running_task() and flat.handled_here(flat.plan.current)

    def left_behind(self, context: Context, task: asyncio.Task[Any] | None) -> Context | None:
        """The context from before, if this ended while another that began later went on.

        That one restores `context`, which is then left behind in the task; else `None`.
        """
        if self._flat is None:
            return super().left_behind(context, task) if self._general else None
        return self._flat.left_behind(context, task)

    @property
    def counts_in_flow(self) -> bool:
        """Whether its lag counts in its flow: not that of a replay, or of history."""
        return super().counts_in_flow if self._general else self._flat is not None

    def stop_clock(self) -> float:
        """Stop the clock of the attempt; return its duration, in seconds."""
        self.take_over()
        return super().stop_clock()

    def attempt_failed(self, error: Exception) -> None:
        """Note an attempt that failed and is not the last one. Never raises."""
        self.take_over()
        super().attempt_failed(error)

    def retry(self, number: int, backoff_s: float, cause: Exception) -> RetriedAttempt:
        """Begin another attempt in the same task, and start the clock anew. Never raises.

        Args:
            number: Which attempt it is; the first one, which `start` began, was 1.
            backoff_s: The wait before it, in seconds.
            cause: The error of the attempt before.
        """
        self.take_over()
        return super().retry(number, backoff_s, cause)

    def reject(self, reason: str) -> None:
        """Set the outcome `rejected`: the business said no, which is not an error.

        Args:
            reason: Why, as a short fixed word or two; it appears on the span. No personal data.
        """
        self.take_over()
        super().reject(reason)

    def waited(self, resource: str, seconds: float) -> None:
        """Record that the handler waited until now; see `tracing.waited_for`. Never raises."""
        if self._general:
            super().waited(resource, seconds)
        elif self._flat is not None:
            self._flat.waited(resource, seconds)

    def duplicate(self) -> None:
        """Note a duplicate: the record's event is not counted in the flow's lag."""
        self.take_over()
        super().duplicate()

    def dead_lettered(self) -> None:
        """The record failed and was moved to the dead letters; `end` it with its error."""
        self.take_over()
        super().dead_lettered()


def processing_in(context: Context) -> Processing | None:
    """Return the handling of one record in a context; `None` where there is none."""
    handling = context.get(PROCESSING_KEY)
    if isinstance(handling, FlatHandling):
        view = handling.view
        if view is None:
            view = FlatProcessing.around(handling, context.get(RECORD_KEY))
            if handling.entered is not None:
                handling.view = view
        return view
    return handling if isinstance(handling, Processing) else None


def record_in(context: Context) -> Any:
    """Return the record that is handled in a context; `None` where there is none."""
    handling = context.get(PROCESSING_KEY)
    if isinstance(handling, FlatHandling):
        return context.get(RECORD_KEY)
    return handling.record if isinstance(handling, Processing) else None


def general_of(flat: FlatHandling) -> Processing:
    """Let the general code take a handling over, unless it has."""
    if flat.general is not None:
        return flat.general
    entered = flat.entered
    view = flat.view
    if not isinstance(view, FlatProcessing):
        record = None if entered is None else entered.get(RECORD_KEY)
        view = flat.view = FlatProcessing.around(flat, record)
    view.take_over()
    return view
