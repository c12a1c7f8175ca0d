"""`async for`: the process span around the loop's body, whose end no hook announces."""

from __future__ import annotations

import asyncio
import sys
from sys import modules
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from opentelemetry.context import attach, get_current

from tracing.core.log import warn_once
from tracing.core.otel_context import PROCESSING_KEY
from tracing.headers.codec import latest
from tracing.headers.dead_letter import REPLAY_GROUP
from tracing.kafka.coexistence import OFFICIAL, ZeroCode
from tracing.kafka.next_record import is_skipped, next_beneath, only_gets_one, topic_of
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.flat.processing import FlatProcessing, general_of
from tracing.messaging.handling import running_task
from tracing.messaging.process import Processing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiokafka.structs import ConsumerRecord

    from tracing.messaging.flat.process import FlatProcesses
    from tracing.telemetry import Telemetry


class Handling(Protocol):
    """What an `async for` needs of the consumer that it reads: a `TracedConsumer`."""

    @property
    def telemetry(self) -> Telemetry:
        """What the service's clients share."""

    def addressed_elsewhere(self, record: Any) -> bool:
        """Return whether a record is for another group."""

    def process(self, record: Any) -> Processing:
        """Handle one record."""


class Iterations:
    """The `async for` loops over one consumer, and the record at which one was left.

    Args:
        delivered: Counts a record handed to the application, by its topic and headers.
        flat: Begins the handling of ordinary records; `None` where none may be flat.

    Attributes:
        delivered: The same.
        flat: The same.
    """

    __slots__ = ("_running", "_unfinished", "delivered", "flat")

    def __init__(
        self,
        delivered: Callable[[str, Any, Mapping[str, object]], None],
        flat: FlatProcesses | None,
    ) -> None:
        self.delivered = delivered
        self.flat = flat
        self._unfinished: Processing | None = None
        self._running: WeakSet[TracedRecords] = WeakSet()

    def begin(self, records: TracedRecords) -> None:
        """Note a loop that begins, and end the handling of the record at which one was left."""
        self.finish()
        self._running.add(records)

    def leave(self, processing: Processing) -> None:
        """Keep the handling of a record whose loop was left, until it shows how it was left."""
        self.finish()
        self._unfinished = processing

    def finish(self, error: BaseException | None = None) -> None:
        """End the handling of the record at which a loop was left."""
        processing = self._unfinished
        if processing is not None:
            self._unfinished = None
            processing.end(error)

    def left(self, error: BaseException | None) -> None:
        """End what is handled in loops that were left, and in those that an error ends."""
        self.finish(error)
        if error is not None:
            task = running_task()
            for records in tuple(self._running):
                records.fail(error, task)


class _Loop:
    """What a loop needs for each record: of an object with `__getattr__`, to read it costs more.

    Attributes:
        iterator: What the consumer gave for the loop.
        flat: Begins the handling of ordinary records; `None` where none may be flat.
        handling: The record in the loop's body, if it is handled on the flat path; else `None`.
        processing: The same, if the general code handles it.
        gets_one: Whether the iterator only calls `getone`, as aiokafka's: that is called instead.
    """

    __slots__ = ("flat", "gets_one", "handling", "iterator", "processing")

    def __init__(self, iterator: Any, flat: FlatProcesses | None) -> None:
        self.iterator = iterator
        self.flat = flat
        self.handling: FlatHandling | None = None
        self.processing: Processing | None = None
        self.gets_one = only_gets_one(iterator)

    def take(self) -> Processing | FlatHandling | None:
        """Return how the record in the body is handled, once."""
        current = self.handling or self.processing
        self.handling = self.processing = None
        return current


class TracedRecords:
    """One `async for` over a consumer, around the iterator that the consumer gave for it.

    The body of the loop runs between two calls of `__anext__`, in the same task: so the span
    that one call makes current is current in the body, and the next call ends it. A loop that
    is left by `break` or by an exception makes no further call, but lets go of this object;
    the span's clock stops then. Whether it was an exception, only the consumer can learn, when it
    is stopped or its `async with` block is left because of it, which ends the handling also
    where this object is kept; otherwise the handling counts as successful.

    What the iterator yields goes to the loop unchanged. Where a subclass of the consumer yields
    something of its own, and aiokafka's own `getone` was seen to return the record that it is
    made of, that record is what is handled; otherwise there is no span.

    It stands in for what `__aiter__` gives unwrapped: other attributes, as a generator's `aclose`
    or the methods of a consumer that is its own iterator, are those of that.
    """

    def __init__(
        self, consumer: Handling, iterations: Iterations, iterator: Any, client: object
    ) -> None:
        self._consumer = consumer
        self._iterations = iterations
        self._loop = _Loop(iterator, iterations.flat)
        self._iterator = iterator
        self._client = client
        # By its number: the error itself would keep this object, by its traceback.
        self._around = id(sys.exc_info()[1])
        iterations.begin(self)

    def __aiter__(self) -> TracedRecords:
        return self

    async def __anext__(self) -> ConsumerRecord[Any, Any]:
        loop = self._loop
        if (handling := loop.handling) is not None:
            # It began outside of any handling: nothing can have been left behind.
            loop.handling = None
            handling.end_handling()
        elif (processing := loop.processing) is not None:
            loop.processing = None
            task = asyncio.current_task()
            processing.end(None, task)
            _leave_ended(task)
        item: Any
        received: Any
        while True:
            # As `present`, which would be one more call.
            if ZeroCode.active or OFFICIAL in modules:
                item, received = await next_beneath(loop.iterator, self._client)
            elif loop.gets_one:
                # One coroutine less.
                try:
                    item = received = await loop.iterator.getone()
                except Exception as error:
                    if is_skipped(error):
                        continue
                    raise
            else:
                item = received = await loop.iterator.__anext__()
            if (flat := loop.flat) is not None and (handling := flat.begin(received)) is not None:
                plan = handling.plan
                (plan.delivered or flat.delivered(plan)).value += 1
                loop.handling = handling
                return item  # type: ignore[no-any-return]  # what the iterator yields
            if self._begin(item, received):
                return item  # type: ignore[no-any-return]  # as above

    def _begin(self, item: Any, received: Any) -> bool:
        """Begin to handle a record by the general code; return false if it is to be skipped."""
        try:
            topic = received.topic
            if not isinstance(topic, str):
                return self._without_span(item, None)
            headers = latest(received.headers)
            self._iterations.delivered(topic, received, headers)
            if REPLAY_GROUP in headers and self._consumer.addressed_elsewhere(received):
                return False
            current = self._consumer.process(received)
            if isinstance(current, FlatProcessing):
                current.take_over()
            # They are looked up already.
            current._headers = headers  # noqa: SLF001 - no public name for this alone
        except Exception as fault:
            return self._without_span(item, fault)
        self._loop.processing = current
        current.start(asyncio.current_task())
        return True

    def __getattr__(self, name: str) -> Any:
        if name in {"_iterator", "_consumer", "_loop"}:  # before the constructor ran
            raise AttributeError(name)
        return getattr(self._stands_for(), name)

    def _stands_for(self) -> Any:
        iterator = self._iterator
        return self._consumer if iterator is self._client else iterator

    def finish(self) -> None:
        """End the handling of the last record, if there was one."""
        current = self._loop.take()
        if isinstance(current, FlatHandling):
            current.end_handling()
        elif current is not None:
            current.end()

    def fail(self, error: BaseException, task: asyncio.Task[Any] | None) -> None:
        """End the handling of the last record with an error in the task that handles it.

        An error that was being handled when the loop began has nothing to do with it.
        """
        loop = self._loop
        current = loop.handling or loop.processing
        if current is None or id(error) == self._around:
            return
        if isinstance(current, FlatHandling):
            if current.handled_here(current.plan.current):
                loop.handling = None
                current.end_handling(error)
        elif current.handled_in(task):
            loop.processing = None
            current.end(error, task)
            _leave_ended(task)

    def _without_span(self, item: Any, fault: Exception | None) -> bool:
        if fault is not None and topic_of(item) is not None:
            self._consumer.telemetry.diagnostics.failed("process", fault)
        else:
            warn_once(
                "a consumer's iterator yields something other than records; it is passed on as it "
                "is, without a span. Where the records are at hand, use consumer.process(record)"
            )
        return True

    def __del__(self) -> None:
        loop = vars(self).get("_loop")
        current = None if loop is None else loop.take()
        if current is None:
            return
        if isinstance(current, FlatHandling):
            current = general_of(current)
        current.pause()
        _leave_ended(running_task())
        self._iterations.leave(current)
        try:
            # Code that stops the consumer because of an exception does so before the loop's turn
            # ends; after it, no exception was seen.
            asyncio.get_running_loop().call_soon(self._iterations.finish)
        except RuntimeError:
            self._iterations.finish()


def _leave_ended(task: asyncio.Task[Any] | None) -> None:
    """Leave a context whose record is handled: two loops of one task may end in any order."""
    context = current = get_current()
    while isinstance(handling := context.get(PROCESSING_KEY), (Processing, FlatHandling)):
        before = handling.left_behind(context, task)
        if before is None:
            break
        context = before
    if context is not current:
        attach(context)
