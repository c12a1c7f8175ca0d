"""The loop that repeated `getone` or `getmany` calls in a task form; no hook announces its end.

A task handles what it received until it asks any consumer for more, commits all of it, stops the
consumer, or ends, with its error if it has one. Meanwhile the process span is current in the task
and in the tasks that it starts. A task never changes the context of another one.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, attach, get_current

from tracing.core.otel_context import PROCESSING_KEY, RECORD_KEY
from tracing.kafka.next_record import topic_of
from tracing.messaging.process_batch import BatchProcessing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.kafka.consumer import TracedConsumer
    from tracing.messaging.process import Processing

_KEY: Final = "pipeline-tracing-received"
_RECEIVED: Final = frozenset({_KEY, PROCESSING_KEY, RECORD_KEY})


class PollLoops:
    """The loops of all tasks over unwrapped consumers.

    Task and thread safety: any number of tasks, of any number of event loops. Nothing here raises.
    """

    def __init__(self) -> None:
        # The callback at a task's end keeps its loop alive until then.
        self._loops: weakref.WeakSet[_TaskLoop] = weakref.WeakSet()
        self._lock = threading.Lock()

    def received_one(self, client: object, traced: TracedConsumer, record: Any) -> None:
        """Begin to handle the result of `getone`."""
        if topic_of(record) is not None:
            self._begin(client, traced, record, traced.process)

    def received_many(self, client: object, traced: TracedConsumer, records: Any) -> None:
        """Begin to handle the result of `getmany`, as a batch."""
        if records:
            self._begin(client, traced, records, lambda many: _batch(traced, many))

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
        """End what the running task handles: it asks for more, or failed."""
        loop = _loop.get()
        if loop is not None and loop.task is asyncio.current_task():
            loop.finish(error)

    def settling(self, client: object, offsets: Any = None) -> None:
        """End what the running task handles, if the client that commits or stops received it.

        An error that the program is handling, as in a `finally` block, counts as the outcome,
        unless the program was handling it when it received the record.

        Args:
            client: The client.
            offsets: The offsets that it commits; by default all.
        """
        loop = _loop.get()
        if loop is not None and loop.receives_from(client) and loop.settled_by(offsets):
            error = sys.exc_info()[1]
            self.finish(None if id(error) == loop.around else error)

    def stopped(self, client: object) -> None:
        """End whatever any task handles of the client's records."""
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
    """What one task handles, one after the other. For one thread."""

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
        # The id of the error that the program was handling before, as in a loop that reconnects.
        self.around = 0
        self._client: weakref.ref[object] | None = None
        self._handling: Processing | BatchProcessing | None = None
        self._received: _Received | None = None
        self._result: Any = None
        self._open: dict[Any, int] | None = None
        # In an empty context: the task's own holds what the task handles.
        task.add_done_callback(self._task_ended, context=contextvars.Context())

    def begin(self, handling: Processing | BatchProcessing, client: object, result: Any) -> None:
        """Begin to handle what the running task received."""
        received = _Received(self, _base(get_current()))
        attach(Context({**received.base, _KEY: received}))
        if isinstance(handling, BatchProcessing):
            handling.start()
        else:
            handling.start(self.task)
        received.context = get_current()
        self._handling, self._received = handling, received
        self.around = id(sys.exc_info()[1])
        # Weakly: an unused client may be freed while its last record is handled.
        self._result, self._client = result, weakref.ref(client)
        self._open = None

    def receives_from(self, client: object) -> bool:
        """Return whether a client received what is handled."""
        return self._client is not None and self._client() is client

    def settled_by(self, offsets: Any) -> bool:
        """Return whether these and earlier offsets commit everything that is handled."""
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
        except Exception:  # the client reports bad offsets
            return True
        return not self._open

    def finish(self, error: BaseException | None = None) -> None:
        """End what is handled, with the error if there was one; from any task."""
        handling, self._handling = self._handling, None
        received, self._received = self._received, None
        self._result = self._client = None
        if handling is None or received is None:
            return
        current = get_current()
        handling.end(error)
        # A context that the application has made current since then stays current.
        attach(_without_received(current, self))

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self.task = None
        if self._handling is None:
            return
        if task.cancelled():
            error: BaseException | None = asyncio.CancelledError()
        else:
            # `task.exception()` would mark the error as retrieved, and asyncio would not log it.
            error = getattr(task, "_exception", None)
            if error is None and task.result() is self._result:
                # Like `asyncio.wait_for`: another task handles it, for an unknown time.
                error = asyncio.CancelledError()
        self.finish(error)


class _Received:
    """What a task received, and the contexts in which it is handled.

    Attributes:
        loop: The loop of that task.
        base: The context without it.
        context: The context with it, before any change by the application.
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
    """Return the context in which to handle what is received now."""
    context = _without_received(context)
    if _KEY not in context:
        return context
    # The program derived it from the context of a record. Were it kept, tasks that each start the
    # next one would refer to all tasks before them.
    return Context({key: value for key, value in context.items() if key not in _RECEIVED})


def _without_received(context: Context, loop: _TaskLoop | None = None) -> Context:
    """Return the context beneath those of received records, of one loop or of any.

    They are left over from earlier records, or come from the task that started the running one.
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
    """Return the last offset of what was received, by topic and partition."""
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
