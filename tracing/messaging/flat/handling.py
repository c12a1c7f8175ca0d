"""The handling of one record on the flat path: one object, which is also the span in the context.

Where the record is sampled it is a `FlatSpan`, else a `RemoteSpan`; what both have in common is
here. It is the value of `SPAN_KEY` and of `PROCESSING_KEY` in the context that the handler runs
in. What applications see of it, a `Processing`, is made when they ask for it.

A context refers to its handling. A handling refers to its context only until it ends: a cycle would
stay until the garbage collector runs, and to collect one costs more than to make one.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from tracing.messaging.handling import running_task

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from contextvars import ContextVar, Token
    from typing import Any, ClassVar

    from opentelemetry.context import Context

    from tracing.messaging.flat.process_plan import ProcessPlan
    from tracing.messaging.flow_lag import ArrivalDurations
    from tracing.messaging.process import Processing


class FlatHandling:
    """What a sender below, the loop and the application need of a record's handling.

    Ask `isinstance(handling, FlatHandling)` of what `PROCESSING_KEY` holds. That is a plain class,
    while `isinstance` with a class of spans goes through `ABCMeta`.

    Its names are beside those of a span, such as `end` and `context`.

    Attributes:
        recorded: Whether it is a span that is recorded.
        plan: What it shares with the other records of its type and lane.
        traceparent: The header, version 00, by which a message that the handler sends has this
            span as its parent; of an unrecorded record, its own.
        flow: The baggage of the record, as the context has it. Never changed.
        baggage: The header of which `flow` was made, if a sender would write the same for `flow`;
            else `None`. It has an origin. It holds for a context whose baggage is `flow` itself.
        origin_ms: The origin of the flow, unix ms; `None` without one.
        arrival: Records the end-to-end lag of the flow.
        started: When the handling started, by the monotonic clock, in seconds.
        entered: The context in which the handler runs; `None` once it was left.
        token: Restores the context from before; `None` once it was left.
        view: What the application sees of it; `None` if it has not asked, or once it has ended.
        general: The general handling that took over; `None` on the flat path.
        broken: Whether its beginning failed: the record is handled without a span.
        waits: How long the handler has waited, by resource, in seconds; `None` if it has not.
        left: Of a context that was left before a later one, see `left_behind`.
    """

    if not TYPE_CHECKING:
        # The slots are those of its subclasses: of two bases, one may have any.
        __slots__ = ()

    recorded: ClassVar[bool]
    plan: ProcessPlan
    traceparent: bytes
    flow: Mapping[str, object]
    baggage: bytes | None
    origin_ms: int | None
    arrival: ArrivalDurations
    started: float
    entered: Context | None
    token: Token[Context] | None
    view: Processing | None
    general: Processing | None = None
    broken: bool = False
    waits: dict[str, float] | None = None
    left: tuple[weakref.ref[Context], Context, asyncio.Task[Any] | None] | None = None

    def end_handling(self, error: BaseException | None = None) -> None:
        """End the handling with its outcome, and its span. Never raises."""
        raise NotImplementedError

    def waited(self, resource: str, seconds: float) -> None:
        """Record a wait of the handler; see `tracing.waited_for`. Never raises.

        Args:
            resource: What it waited for.
            seconds: For how long, until now.
        """
        if self.general is not None:
            self.general.waited(resource, seconds)
        elif self.entered is not None:
            noted = self.waits
            if noted is None:
                noted = self.waits = {}
            own_span: Any = self if self.recorded else None
            self.plan.lane.waits.note(
                resource, seconds, started=self.started, noted=noted, span=own_span
            )

    def detach(self, current: ContextVar[Context]) -> None:
        """Restore the context from before, unless this is another task than the handler's.

        Args:
            current: The variable that holds the current context.
        """
        token, context = self.token, self.entered
        self.token = self.entered = None
        if token is None or context is None:
            return
        in_order = current.get() is context
        try:
            current.reset(token)
        except ValueError:
            # Another task's, and not ours to change.
            return
        if not in_order:
            self.left = weakref.ref(context), current.get(), running_task()

    def handled_here(self, current: ContextVar[Context]) -> bool:
        """Return whether the record is being handled in this task."""
        if self.token is None:
            return False
        seen = current.get()
        try:
            # No other way to ask whose context a token is of.
            current.reset(self.token)
        except ValueError:
            return False
        self.token = current.set(seen)
        return True

    def left_behind(self, context: Context, task: asyncio.Task[Any] | None) -> Context | None:
        """Return the context from before, if this ended while a later handling went on.

        That one restores `context`, which is then left behind in the task; else `None`.
        """
        if self.left is None:
            return None
        own, before, ended_in = self.left
        return before if ended_in is task and own() is context else None
