"""The loop that consecutive `getone`s or `getmany`s of one task are, which no hook ends.

What a task received is handled until the task asks for more, by any consumer; until it commits
all of it or stops the consumer; or until the task ends, with its error if it has one. Meanwhile the
process span is current in the task, and in the tasks that it starts. A task never changes the
context of another one.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, attach, get_current

from tracing.core.otel_context import PROCESSING_KEY
from tracing.kafka.iteration import topic_of
from tracing.messaging.process_batch import BatchProcessing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.kafka.consumer import TracedConsumer
    from tracing.messaging.process import Processing

_KEY: Final = "pipeline-tracing-received"
_RECEIVED: Final = frozenset({_KEY, PROCESSING_KEY})


class PollLoops:
    """The loops of all tasks, over consumers that are not wrapped.

    Task and thread safety: any number of tasks, of any number of event loops. Nothing here raises.
    """

    def __init__(self) -> None:
        # They live as long as their tasks do: by the callback at the task's end.
        self._loops: weakref.WeakSet[_TaskLoop] = weakref.WeakSet()
        self._lock = threading.Lock()

    def received_one(self, client: object, traced: TracedConsumer, record: Any) -> None:
        """Begin to handle what `getone` returned."""
        if topic_of(record) is not None:
            self._begin(client, traced, record, traced.process)

    def received_many(self, client: object, traced: TracedConsumer, records: Any) -> None:
        """Begin to handle what `getmany` returned, as a batch."""
        if records:
            self._begin(client, traced, records, lambda found: _batch(traced, found))

    def _begin(
        self,
        client: object,
        traced: TracedConsumer,
        received: Any,
        handle: Callable[[Any], Processing | BatchProcessing],
    ) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        try:
            self._loop_of(task).begin(handle(received), client, received)
        except Exception as fault:
            traced.telemetry.diagnostics.failed("process", fault)

    def finish(self, error: BaseException | None = None) -> None:
        """End what the running task handles: it asks for more, or there was an error."""
        loop = _loop.get()
        if loop is not None and loop.task is asyncio.current_task():
            loop.finish(error)

    def settling(self, client: object, offsets: Any = None) -> None:
        """End what the running task handles, where the client that commits or stops received it.

        An error that is being handled meanwhile, as in a `finally` block, is the handling's own,
        unless the record was received in the course of it already.

        Args:
            client: The client.
            offsets: What it commits, where that is not everything.
        """
        loop = _loop.get()
        if loop is not None and loop.receives_from(client) and loop.settled_by(offsets):
            error = sys.exc_info()[1]
            self.finish(None if id(error) == loop.around else error)

    def stopped(self, client: object) -> None:
        """End what any task handles that the client received: it had its time until here."""
        for loop in self._all():
            if loop.receives_from(client):
                loop.finish()

    def close(self) -> None:
        """End everything that is handled."""
        for loop in self._all():
            loop.finish()

    def _loop_of(self, task: asyncio.Task[Any]) -> _TaskLoop:
        loop = _loop.get()
        if loop is not None and loop.task is task and loop.loops is self:
            return loop
        loop = _TaskLoop(self, task)
        _loop.set(loop)
        with self._lock:
            self._loops.add(loop)
        return loop

    def _all(self) -> list[_TaskLoop]:
        with self._lock:
            return list(self._loops)


class _TaskLoop:
    """What one task handles, one thing after the other; one thread's only."""

    __slots__ = (
        "__weakref__",
        "_client",
        "_handling",
        "_open",
        "_received",
        "_result",
        "around",
        "loops",
        "task",
    )

    def __init__(self, loops: PollLoops, task: asyncio.Task[Any]) -> None:
        self.loops = loops
        self.task: asyncio.Task[Any] | None = task
        # The number of the error that is being handled around, as in a loop that connects anew.
        self.around = 0
        self._client: weakref.ref[object] | None = None
        self._handling: Processing | BatchProcessing | None = None
        self._received: _Received | None = None
        self._result: Any = None
        self._open: dict[Any, int] | None = None
        # In a context of its own: that of the task holds what the task handles.
        task.add_done_callback(self._task_ended, context=contextvars.Context())

    def begin(self, handling: Processing | BatchProcessing, client: object, result: Any) -> None:
        """Handle what was received, in the running task."""
        received = _Received(self, _base(get_current()))
        attach(Context({**received.base, _KEY: received}))
        if isinstance(handling, BatchProcessing):
            handling.start()
        else:
            handling.start(self.task)
        received.context = get_current()
        self._handling, self._received = handling, received
        self.around = id(sys.exc_info()[1])
        # Weakly: a client that the application forgets may go, while its last record is handled.
        self._result, self._client = result, weakref.ref(client)
        self._open = None

    def receives_from(self, client: object) -> bool:
        """Whether a client received what is handled."""
        return self._client is not None and self._client() is client

    def settled_by(self, offsets: Any) -> bool:
        """Whether everything that is handled is committed, by these offsets and those before."""
        if offsets is None:
            return True
        try:
            if self._open is None:
                self._open = _last_offsets(self._result)
            for partition, committed in offsets.items():
                # With metadata it is a tuple.
                offset = committed[0] if isinstance(committed, tuple) else committed
                if partition in self._open and offset > self._open[partition]:
                    del self._open[partition]
        except Exception:  # the client says what is wrong with them
            return True
        return not self._open

    def finish(self, error: BaseException | None = None) -> None:
        """End what is handled, with an error if there was one; from any task."""
        handling, self._handling = self._handling, None
        received, self._received = self._received, None
        self._result = self._client = None
        if handling is None or received is None:
            return
        current = get_current()
        handling.end(error)
        # A context that the application has made current since stays; it may be left to one of
        # those that were current before, which are over as well.
        attach(_without_received(current, self))

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self.task = None
        if self._handling is None:
            return
        if task.cancelled():
            error: BaseException | None = asyncio.CancelledError()
        else:
            # Not `task.exception()`: by that, asyncio takes it for seen, and logs it no more.
            error = getattr(task, "_exception", None)
            if error is None and task.result() is self._result:
                # Like `asyncio.wait_for`: another task handles it, for an unknown time.
                error = asyncio.CancelledError()
        self.finish(error)


class _Received:
    """What was received, in the context in which it is handled, and whatever is made of that.

    Attributes:
        loop: Whose it is.
        base: The context without it.
        context: The context with it, and with nothing on top.
    """

    __slots__ = ("base", "context", "loop")

    def __init__(self, loop: _TaskLoop, base: Context) -> None:
        self.loop = loop
        self.base = base
        self.context = base


_loop: contextvars.ContextVar[_TaskLoop | None] = contextvars.ContextVar(
    "pipeline-tracing-loop", default=None
)


def _base(context: Context) -> Context:
    """The context in which something that is received now is handled."""
    context = _without_received(context)
    if _KEY not in context:
        return context
    # One that the program made of a received one. Tasks of which each starts the next one in such
    # a context would refer to all that were before.
    return Context({key: value for key, value in context.items() if key not in _RECEIVED})


def _without_received(context: Context, loop: _TaskLoop | None = None) -> Context:
    """Leave a context that something received made, by a certain loop or by any.

    That is one left behind, or one that comes from the task which started the running one.
    """
    while (received := context.get(_KEY)) is not None:
        if (
            not isinstance(received, _Received)
            or received.context is not context
            or (loop is not None and received.loop is not loop)
        ):
            break
        context = received.base
    return context


def _last_offsets(received: Any) -> dict[Any, int]:
    """The last offsets of what was received, by topic and partition."""
    if topic_of(received) is not None:
        last = [received]
    else:
        last = [records[-1] for records in received.values() if records]
    return {(record.topic, record.partition): record.offset for record in last}


def _batch(traced: TracedConsumer, received: Any) -> BatchProcessing:
    return traced.process_batch(
        record
        for records in received.values()
        for record in records
        if topic_of(record) is not None
    )
