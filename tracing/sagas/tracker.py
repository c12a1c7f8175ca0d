"""Tracking the sagas of any orchestrator: it reports facts, which become spans and metrics."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from time import time_ns
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import SpanKind

from tracing.core import semconv
from tracing.core.callables import require_async
from tracing.core.text import label_of, plain_text, text_of
from tracing.metrics.series import OTHER
from tracing.sagas.context import FAILED, STEP_ERROR, STEP_OK, SagaContext
from tracing.sagas.counts import SagaSeries
from tracing.sagas.readings import SagaReadings
from tracing.sagas.spans import NOWHERE, SagaSpans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tracing.core.semconv import AttributeValue
    from tracing.headers.codec import Header
    from tracing.sagas.context import SagaOutcome, StepOutcome
    from tracing.sagas.store import SagaHealthSource
    from tracing.telemetry import Telemetry

_MAX_NAME: Final = 128
_MAX_REASON: Final = 256


class SagaTracker:
    """Records traces and metrics of the sagas of one name, on any engine.

    In the transaction that starts a saga, create its context and store it with the saga. After
    each commit, report what the transaction did::

        context = tracker.begin(saga_id)          # store str(context)
        ...                                       # commit
        tracker.started(context)
        tracker.step(context, "charge-card", started_ns=asked_at, outcome="rejected")
        tracker.compensating(context, "card declined")
        tracker.ended(context, "compensated")

    The saga's span has its true start and end, and contains its steps, in the trace in which the
    saga started, across any number of restarts and days. It is exported when the saga ends; the
    gauges show sagas that are stuck.

    With `health`, the started, ended and compensation counts and the gauges are read from the
    durable store at each collection, and stay correct after a crash. Create the tracker in the
    event loop that the store belongs to. Without `health`, the tracker counts by itself.

    Args:
        saga: The name of the sagas, for example `place-order`. A metric label: keep it fixed.
        telemetry: The telemetry that the service's clients share.
        health: Reads health from the durable store.

    Raises:
        TypeError: The name is not text, or `health` has no async method of that name.
        ValueError: The name cannot be used.
        RuntimeError: `health` is given and no event loop runs.

    Task safety: any number of tasks of one event loop. Only the constructor raises, and `begin`
    for ids that cannot be stored.
    """

    def __init__(
        self, saga: str, telemetry: Telemetry, *, health: SagaHealthSource | None = None
    ) -> None:
        saga = plain_text(saga, "saga")
        if not saga or len(saga) > _MAX_NAME or not saga.isprintable():
            raise ValueError(f"saga must be 1 to {_MAX_NAME} printable characters, not {saga!r}")
        if health is not None:
            require_async(getattr(health, "health", None), "the method health() of a health source")
        self._saga = saga
        self._telemetry = telemetry
        self._spans = SagaSpans(telemetry, saga)
        self._series = SagaSeries(telemetry, saga, counting=health is None)
        self._readings = None if health is None else SagaReadings(telemetry, saga, health)

    @property
    def saga(self) -> str:
        """The name of the sagas."""
        return self._saga

    def begin(self, saga_id: str | UUID | int, started_ns: int | None = None) -> SagaContext:
        """Return the context of a saga that starts now, to be stored with it; count nothing.

        The saga belongs to the current trace. Without one, it begins a trace with a `saga.start`
        span.

        Args:
            saga_id: Identifies the saga; on spans only.
            started_ns: When it started, unix ns; by default now.

        Raises:
            TypeError: `saga_id` or `started_ns` is of a type that the context cannot store.
        """
        saga_id = text_of(saga_id, "saga_id")
        started_ns = time_ns() if started_ns is None else started_ns
        if not isinstance(started_ns, int):
            raise TypeError(f"started_ns must be an int, unix ns, not {type(started_ns).__name__}")
        headers: list[Header] = []
        try:
            context = get_current()
            span = trace.get_current_span(context)
            if not span.get_span_context().is_valid:
                name = semconv.span_name(semconv.SAGA_START_SPAN, self._saga)
                attributes = self._described(saga_id)
                span = self._telemetry.spans.start(
                    name, context, SpanKind.INTERNAL, attributes, start_ns=started_ns
                )
                span.end(started_ns)
                context = trace.set_span_in_context(span, context)
            now_ms = started_ns // 1_000_000
            self._telemetry.propagation.inject(headers, span, context, NOWHERE, now_ms)
        except Exception as fault:
            self._telemetry.diagnostics.failed("saga", fault)
        pairs = tuple((name, value.decode("latin-1")) for name, value in headers if value)
        return SagaContext(saga_id, started_ns, pairs)

    def started(self, context: SagaContext) -> None:  # noqa: ARG002 - every report takes it
        """Report that a saga has started."""
        self._series.started()

    def step(
        self,
        context: SagaContext,
        step: str,
        *,
        started_ns: int,
        ended_ns: int | None = None,
        outcome: StepOutcome = STEP_OK,
        compensation: bool = False,
        error_type: str | None = None,
        attempts: int = 1,
    ) -> None:
        """Report that a step has ended. Its span links to the current one, which ended it.

        Args:
            context: The saga's context.
            step: The step's name. A metric label: use a fixed set.
            started_ns: When the step was first requested, unix ns.
            ended_ns: When the step ended, unix ns; by default now.
            outcome: How the step ended.
            compensation: Whether the step undoes another one.
            error_type: The kind of error, for the outcome `error`; use a fixed set.
            attempts: How often the step was requested.
        """
        try:
            step = label_of(step)
            ended_ns = self._not_before(started_ns, ended_ns)
            self._series.step(step, outcome, (ended_ns - started_ns) / 1e9, undoes=compensation)
            attributes = self._described(context.saga_id)
            attributes |= {semconv.SAGA_STEP: step, semconv.OUTCOME: outcome}
            if compensation:
                attributes[semconv.SAGA_COMPENSATION] = True
            if attempts > 1:
                attributes[semconv.ATTEMPTS] = attempts
            if outcome == STEP_ERROR:
                attributes[semconv.ERROR_TYPE] = error_type or OTHER
            self._spans.step(
                semconv.span_name(semconv.SAGA_STEP_SPAN, f"{self._saga}/{step}"),
                context,
                attributes,
                (started_ns, ended_ns),
                run=f"{step}\0{started_ns}\0{compensation}",
                failed=outcome == STEP_ERROR,
            )
        except Exception as fault:
            self._telemetry.diagnostics.failed("saga", fault)

    def compensating(self, context: SagaContext, reason: str) -> None:
        """Report that a saga begins to undo its steps, as an event on the current span.

        Args:
            context: The saga's context.
            reason: Why, in one or two fixed words. No personal data.
        """
        try:
            attributes = self._described(context.saga_id)
            attributes[semconv.SAGA_REASON] = label_of(reason)[:_MAX_REASON]
            trace.get_current_span().add_event(semconv.COMPENSATING, attributes)
        except Exception as fault:
            self._telemetry.diagnostics.failed("saga", fault)

    def ended(
        self,
        context: SagaContext,
        outcome: SagaOutcome,
        *,
        ended_ns: int | None = None,
        deadline_ns: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Report that a saga has ended, and export its span.

        Args:
            context: The saga's context.
            outcome: How the saga ended.
            ended_ns: When the saga ended, unix ns; by default now.
            deadline_ns: When the saga should have ended, unix ns.
            reason: Why the saga was compensated or failed, in one or two fixed words.
        """
        try:
            ended_ns = self._not_before(context.started_ns, ended_ns)
            self._series.ended(outcome, (ended_ns - context.started_ns) / 1e9)
            attributes = self._described(context.saga_id)
            attributes[semconv.SAGA_OUTCOME] = outcome
            if reason is not None:
                attributes[semconv.SAGA_REASON] = label_of(reason)[:_MAX_REASON]
            if outcome == FAILED:
                # The reason is a text of the application's, which may be anything.
                attributes[semconv.ERROR_TYPE] = OTHER
            if deadline_ns is not None and ended_ns > deadline_ns:
                attributes[semconv.SAGA_OVERDUE] = True
            self._spans.saga(
                semconv.span_name(semconv.SAGA_SPAN, self._saga),
                context,
                attributes,
                ended_ns,
                failed=outcome == FAILED,
            )
        except Exception as fault:
            self._telemetry.diagnostics.failed("saga", fault)

    @contextmanager
    def resumed(self, context: SagaContext) -> Iterator[None]:
        """Run the block in the saga's trace and flow, for example after a timer."""
        token = None
        try:
            token = attach(Context({**get_current(), **self._spans.inside(context)}))
        except Exception as fault:
            self._telemetry.diagnostics.failed("saga", fault)
        try:
            yield
        finally:
            if token is not None:
                detach(token)

    async def aclose(self) -> None:
        """Read health a last time, for the last export. Call it before you close the store.

        The metrics keep that last reading. Never raises.
        """
        if self._readings is not None:
            await asyncio.shield(self._readings.finish())

    def _described(self, saga_id: str) -> dict[str, AttributeValue]:
        return {semconv.SAGA: self._saga, semconv.SAGA_ID: saga_id}

    def _not_before(self, started_ns: int, ended_ns: int | None) -> int:
        ended_ns = time_ns() if ended_ns is None else ended_ns
        if ended_ns >= started_ns:
            return ended_ns
        self._telemetry.diagnostics.saga_clock_skew.value += 1
        return started_ns
