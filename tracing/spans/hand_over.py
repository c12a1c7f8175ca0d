"""Handing light spans over to the span processors of a provider.

The SDK asks each processor three times a span, and its batch processor takes two more calls to
reach a queue. Here the processors are looked at once, and again whenever one was added: hooks that
do nothing are not called, and the queue of a batch processor is fed directly. Every other processor
gets exactly the calls that the SDK makes.

This module reads private attributes of the SDK's processors. Where they have other names, the
processors are called as the SDK calls them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span, Tracer

_Batch = TypeVar("_Batch", bound=type[BatchSpanProcessor])

_IDLE: Final = (SpanProcessor, SimpleSpanProcessor, BatchSpanProcessor)
_IDLE_STARTS: Final = tuple(kind.on_start for kind in _IDLE)
_IDLE_ENDINGS: Final = tuple(getattr(kind, "_on_ending", None) for kind in _IDLE)
# The classes whose queue is fed directly, with the method that this replaces.
_fed: Final[dict[type, object]] = {BatchSpanProcessor: BatchSpanProcessor.on_end}


def fed_directly(kind: _Batch) -> _Batch:
    """Let the queue of a batch processor's class be fed directly.

    Its `on_end` must do nothing beyond the SDK's while there is room in the queue. Subclasses are
    not meant: they get every call.
    """
    _fed[kind] = kind.on_end
    return kind


class HandOver:
    """Hands the spans of one tracer over. Safe to use from any thread or task.

    Args:
        tracer: The tracer; its provider's processors get the spans.

    Attributes:
        calls_nobody: Whether the end of a span calls no code of the user's own.
        multi: Has the processors of now in `_span_processors`.
        seen: The processors that were looked at last: call `look` where those of now are others.
        start: Calls the processors at the start of a span; `None` where none of them needs it.
    """

    __slots__ = ("_endings", "_ends", "_starts", "calls_nobody", "multi", "seen", "start")

    def __init__(self, tracer: Tracer) -> None:
        self.multi: Any = tracer.span_processor
        self.seen: object = None
        self.calls_nobody = False
        self.start: Callable[[Span, Context], None] | None = None
        self._starts: tuple[SpanProcessor, ...] = ()
        self._endings: tuple[Any, ...] = ()
        self._ends: tuple[tuple[SpanProcessor, Any, Any, int, int], ...] = ()
        if type(self.multi) is not SynchronousMultiSpanProcessor or not hasattr(
            self.multi, "_span_processors"
        ):
            # Such as the SDK's concurrent one, or the user's own: it calls the others.
            self.multi = _Single(self.multi)

    def _start(self, span: Span, context: Context) -> None:
        for processor in self._starts:
            processor.on_start(span, parent_context=context)

    def end(self, span: Any) -> None:
        """Hand an ended span over: its end time is set, and it is sampled.

        Raises whatever a processor of the user's own raises, as the end of a span of the SDK does.
        """
        if self.multi._span_processors is not self.seen:
            self.look()
        if self._endings:
            for processor in self._endings:
                processor._on_ending(span)
        for processor, batch, queue, size, room in self._ends:
            if batch is not None and not batch._shutdown:
                waiting = len(queue)
                if waiting < room:
                    queue.appendleft(span)
                    if waiting + 1 >= size and not batch._worker_awaken.is_set():
                        batch._worker_awaken.set()
                    continue
            # A queue that is full or closed is the processor's affair.
            processor.on_end(span)

    def look(self) -> None:
        """Look at the processors of now."""
        processors = self.multi._span_processors
        self._starts = tuple(
            processor
            for processor in processors
            if not _inherits(processor, "on_start", _IDLE_STARTS)
        )
        self.start = self._start if self._starts else None
        self._endings = tuple(
            processor
            for processor in processors
            if not _inherits(processor, "_on_ending", _IDLE_ENDINGS)
        )
        self._ends = tuple((processor, *_queue_of(processor)) for processor in processors)
        self.calls_nobody = not self._endings and all(
            _inherits(processor, "on_end", _quiet_ends()) for processor in processors
        )
        self.seen = processors


class _Single:
    """Stands in for a provider's list of processors."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._span_processors = (processor,)


def _quiet_ends() -> tuple[object, ...]:
    # A full or closed queue of a batch is the SDK's affair; what it exports is in its own thread.
    return SpanProcessor.on_end, *_fed.values()


def _inherits(processor: object, method: str, idle: tuple[object, ...]) -> bool:
    # Some tools put a method on the object.
    own = getattr(processor, "__dict__", ())
    return method not in own and getattr(type(processor), method, None) in idle


_NOT_FED: Final = (None, None, 0, 0)


def _queue_of(processor: SpanProcessor) -> tuple[Any, Any, int, int]:
    """Return a batch processor's inside: its batch, queue, batch size and room for spans."""
    kind = type(processor)
    if kind not in _fed or not _inherits(processor, "on_end", (_fed[kind],)):
        return _NOT_FED
    batch: Any = getattr(processor, "_batch_processor", None)
    queue = getattr(batch, "_queue", None)
    size = getattr(batch, "_max_export_batch_size", None)
    if not (
        isinstance(queue, deque)
        and queue.maxlen is not None
        and isinstance(size, int)
        and hasattr(batch, "_shutdown")
        and hasattr(batch, "_worker_awaken")
        and not vars(batch).keys() & {"emit"}
    ):
        return _NOT_FED
    return batch, queue, size, queue.maxlen
