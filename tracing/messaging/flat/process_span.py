"""The two kinds of flat handlings: a process span, and the sender's span where none is recorded."""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import TYPE_CHECKING

from opentelemetry.context import Context

from tracing.headers.context import continuing
from tracing.headers.flow import NO_FLOW
from tracing.headers.w3c import RemoteSpan
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.flat.process_content import ProcessContent
from tracing.messaging.flat.processing import general_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.trace import Span
    from opentelemetry.trace import Link, SpanContext

    from tracing.messaging.flat.process_plan import ProcessPlan


class ProcessSpan(FlatHandling, ProcessContent):
    """The handling of a sampled record, and its process span. For the task that handles it."""

    if not TYPE_CHECKING:
        __slots__ = ("arrival", "baggage", "entered", "flow", "started", "token", "view")

    plan: ProcessPlan
    recorded = True

    def end_handling(  # noqa: C901, PLR0912 - calls cost more
        self, error: BaseException | None = None
    ) -> None:
        """End the handling with its outcome, and the span with it. Never raises."""
        # Without a view there is no general handling either.
        if error is not None or (self.view is not None and self.general is not None):
            general_of(self).end(error)
            return
        duration = perf_counter() - self.started
        end_ns = time_ns()
        plan = self.plan
        token = self.token
        if token is not None:
            current = plan.current
            if current.get() is self.entered:
                try:
                    current.reset(token)
                except ValueError:
                    # It ends in another task, whose context is not ours to change.
                    self.token = None
                self.token = self.entered = None
            else:
                self.detach(current)
        self.view = None
        try:
            series = plan.succeeded
            if series.later is not None and series.low < duration <= series.high:
                series.later(duration)
            else:
                series.record(duration, self)
            origin_ms = self.origin_ms
            if origin_ms is not None:
                lag_ms = end_ns // 1_000_000 - origin_ms
                if lag_ms < 0:
                    plan.telemetry.diagnostics.origin_skew.value += 1
                    lag_ms = 0
                lag_s, series = lag_ms / 1000, self.arrival.end_to_end
                if series.later is not None and series.low < lag_s <= series.high:
                    series.later(lag_s)
                else:
                    series.record(lag_s, self)
            self.flow, self.baggage = NO_FLOW, None
            if self._end_time is None and not self._built:
                # As `finish`, which is for all others.
                self.ended_well = True
                self._end_time = end_ns
                self._hand_over.end(self)
            else:
                # The application may have ended the span before.
                self.ended_well = self._end_time is None
                self.finish(end_ns)
        except Exception as fault:
            plan.telemetry.diagnostics.failed("process", fault)

    def link_only(self, links: tuple[Link, ...]) -> None:
        """Give the span these links, which others may share; it has none yet."""
        self.added_links = links

    def announce(self, start: Callable[[Span, Context], None], parent: Context) -> None:
        """Show the span to processors at its start; what they set comes before its own attributes.

        Args:
            start: Calls the processors.
            parent: The context that holds the span's parent.
        """
        self.starting = True
        try:
            start(self, parent)
        finally:
            self.starting = False
        if self._built:
            self.set_attributes(self.own_attributes())
        elif self.added is not None:
            self.early, self.added = self.added, None


class UnrecordedProcess(FlatHandling, RemoteSpan):
    """The handling of a record that is not sampled, and the span of its sender.

    There is no span of its own: the sender's is current in the handler, and what the handler sends
    continues from it. For the task that handles the record.
    """

    if not TYPE_CHECKING:
        __slots__ = (
            "arrival", "baggage", "entered", "flow", "origin_ms", "plan", "started", "token",
            "traceparent", "view",
        )  # fmt: skip

    recorded = False
    sampled = False
    # Of `RemoteSpan`, whose constructor does not run.
    # Nothing runs: all slots are filled afterwards.
    __init__ = object.__init__
    _state: object = None
    _parsed: SpanContext | None = None

    def end_handling(self, error: BaseException | None = None) -> None:
        """End the handling with its outcome. Never raises."""
        # Without a view there is no general handling either.
        if error is not None or (self.view is not None and self.general is not None):
            general_of(self).end(error)
            return
        duration = perf_counter() - self.started
        plan = self.plan
        token = self.token
        if token is not None:
            current = plan.current
            if current.get() is self.entered:
                try:
                    current.reset(token)
                except ValueError:
                    # It ends in another task, whose context is not ours to change.
                    self.token = None
                self.token = self.entered = None
            else:
                self.detach(current)
        self.view = None
        try:
            series = plan.succeeded
            if series.later is None:
                series.record(duration)
            else:
                series.later(duration)
            origin_ms = self.origin_ms
            if origin_ms is not None:
                lag_ms = time_ns() // 1_000_000 - origin_ms
                if lag_ms < 0:
                    plan.telemetry.diagnostics.origin_skew.value += 1
                    lag_ms = 0
                series = self.arrival.end_to_end
                if series.later is None:
                    series.record(lag_ms / 1000, self)
                else:
                    series.later(lag_ms / 1000)
        except Exception as fault:
            plan.telemetry.diagnostics.failed("process", fault)


def parent_context(above: bytes | None, flow: Mapping[str, object], ambient: Context) -> Context:
    """Return the context that processors see at the start of the span, as of the general code."""
    if above is None:
        return ambient
    return continuing((RemoteSpan(above, None), flow, Context()))
