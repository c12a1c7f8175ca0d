"""The handling of one record on the flat path: one object, which is also the span in the context.

Where the record is sampled it is a `FlatSpan`, else a `RemoteSpan`; what both have in common is
here. It is the value of `SPAN_KEY` and of `PROCESSING_KEY` in the context that the handler runs
in. What applications see of it, a `Processing`, is made when they ask for it.

A context refers to its handling. A handling refers to its context only until it ends: a cycle would
stay until the garbage collector runs, and to collect one costs more than to make one.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

from tracing.messaging.handling import running_task

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from contextvars import ContextVar, Token
    from typing import Any

    from opentelemetry.context import Context

    from tracing.messaging.process import Processing

RECORD_KEY: Final = "pipeline-tracing-record"
"""The key of the record that the running task handles, beside a flat handling.

The handling itself lets go of its record when it ends: it may wait in an exporter's queue. A task
that the handler started may go on, and refers to the record by its context.
"""


class FlatHandling:
    """What a sender below, the loop and the application need of a record's handling.

    Ask `isinstance(handling, FlatHandling)` of what `PROCESSING_KEY` holds. That is a plain class,
    while `isinstance` with a class of spans goes through `ABCMeta`.

    Attributes:
        traceparent: The header, version 00, by which a message that the handler sends has this
            span as its parent; of an unrecorded record, its own.
        flow: The baggage of the record, as the context has it. Never changed.
        baggage: The header of which `flow` was made, if a sender would write the same for `flow`;
            else `None`. It has an origin. It holds for a context whose baggage is `flow` itself.
        context: The context in which the handler runs; `None` once it has ended.
        general: The general handling that took over; `None` on the flat path.
        view: What the application sees of it; `None` if it has not asked, or once it has ended.
    """

    if not TYPE_CHECKING:
        # The slots are those of its subclasses: of two bases, one may have any.
        __slots__ = ()

    traceparent: bytes
    flow: Mapping[str, object]
    baggage: bytes | None
    context: Context | None
    general: Processing | None
    view: Processing | None
    # Of a context that was left while a later one was current, see `left_behind`.
    left: tuple[weakref.ref[Context], Context, asyncio.Task[Any] | None] | None
    token: Token[Context] | None

    def end(self, error: BaseException | None = None) -> None:
        """End the handling with its outcome. Never raises."""
        raise NotImplementedError

    def detach(self, current: ContextVar[Context]) -> bool:
        """Restore the context from before, if this is the task that handles the record.

        Args:
            current: The variable that holds the current context.

        Returns:
            Whether this is that task, and its context was still this handling's to restore.
        """
        token, context = self.token, self.context
        self.token = self.context = None
        if token is None or context is None:
            return False
        in_order = current.get() is context
        try:
            current.reset(token)
        except ValueError:
            # Another task's, and not ours to change.
            return False
        if not in_order:
            self.left = weakref.ref(context), current.get(), running_task()
        return True

    def left_behind(self, context: Context, task: asyncio.Task[Any] | None) -> Context | None:
        """Return the context from before, if this ended while a later handling went on.

        That one restores `context`, which is then left behind in the task; else `None`.
        """
        if self.left is None:
            return None
        own, before, ended_in = self.left
        return before if ended_in is task and own() is context else None
