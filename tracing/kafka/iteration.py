"""`async for`: the process span around the loop's body, whose end no hook announces."""

from __future__ import annotations

import asyncio
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

from opentelemetry.context import attach, get_current

from tracing.core.log import EventLog, warn_once
from tracing.core.otel_context import PROCESSING_KEY
from tracing.headers.codec import latest
from tracing.headers.dead_letter import REPLAY_GROUP
from tracing.kafka.coexistence import TracedCall, beneath, present, traced_call, without_official
from tracing.messaging.flat.handling import FlatHandling
from tracing.messaging.flat.processing import FlatProcessing, general_of
from tracing.messaging.handling import running_task
from tracing.messaging.process import Processing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiokafka.structs import ConsumerRecord

    from tracing.messaging.flat.process import FlatProcesses
    from tracing.telemetry import Telemetry

_logger = EventLog("tracing")
_fields: Final = attrgetter("topic", "headers", "partition", "offset", "timestamp", "value")
_AIOKAFKA: Final = "aiokafka."


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

    _current: Processing | FlatHandling | None = None

    def __init__(
        self, consumer: Handling, iterations: Iterations, iterator: Any, client: object
    ) -> None:
        self._consumer = consumer
        self._iterations = iterations
        self._iterator = iterator
        self._client = client
        self._delivered = iterations.delivered
        self._flat = iterations.flat
        # By its number: the error itself would keep this object, by its traceback.
        self._around = id(sys.exc_info()[1])
        iterations.begin(self)

    def __aiter__(self) -> TracedRecords:
        return self

    async def __anext__(self) -> ConsumerRecord[Any, Any]:
        current = self._current
        if current is not None:
            self._current = None
            if isinstance(current, FlatHandling):
                # It began outside of any handling: nothing can have been left behind.
                current.end_handling()
            else:
                task = asyncio.current_task()
                current.end(None, task)
                _leave_ended(task)
        item: Any
        received: Any
        while True:
            if present():
                item, received = await next_beneath(self._iterator, self._client)
            else:
                item = received = await self._iterator.__anext__()
            flat = self._flat
            if flat is not None:
                handling = flat.begin(received)
                if handling is not None:
                    plan = handling.plan
                    (plan.delivered or flat.delivered(plan)).value += 1
                    self._current = handling
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
            self._delivered(topic, received, headers)
            if REPLAY_GROUP in headers and self._consumer.addressed_elsewhere(received):
                return False
            current = self._consumer.process(received)
            if isinstance(current, FlatProcessing):
                current.take_over()
            # They are looked up already.
            current._headers = headers  # noqa: SLF001 - no public name for this alone
        except Exception as fault:
            return self._without_span(item, fault)
        self._current = current
        current.start(asyncio.current_task())
        return True

    def __getattr__(self, name: str) -> Any:
        if name in {"_iterator", "_consumer"}:  # before the constructor ran
            raise AttributeError(name)
        return getattr(self._stands_for(), name)

    def _stands_for(self) -> Any:
        iterator = self._iterator
        return self._consumer if iterator is self._client else iterator

    def finish(self) -> None:
        """End the handling of the last record, if there was one."""
        current, self._current = self._current, None
        if isinstance(current, FlatHandling):
            current.end_handling()
        elif current is not None:
            current.end()

    def fail(self, error: BaseException, task: asyncio.Task[Any] | None) -> None:
        """End the handling of the last record with an error in the task that handles it.

        An error that was being handled when the loop began has nothing to do with it.
        """
        current = self._current
        if current is None or id(error) == self._around:
            return
        if isinstance(current, FlatHandling):
            if current.handled_here(current.plan.current):
                self._current = None
                current.end_handling(error)
        elif current.handled_in(task):
            self._current = None
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
        current = self._current
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


def topic_of(record: Any) -> str | None:
    """Return a record's topic; `None` of anything that is no record. Never raises."""
    try:
        topic = _fields(record)[0]
    except Exception:
        # An iterator may yield anything, also objects that raise when they are looked at.
        return None
    return topic if isinstance(topic, str) else None


async def next_beneath(iterator: Any, client: object) -> tuple[Any, Any]:
    """Get an iterator's next item beneath instrumentation that would repeat ours.

    Args:
        iterator: What the client gave to iterate by, as a rule itself.
        client: The client.

    Returns:
        The item, and the record that is to be handled: the item itself, unless it is no record,
        but a record was seen to be received for it.
    """
    getone: Any = getattr(iterator, "getone", None)
    own = without_official(getone)
    if own is not getone and _is_aiokafkas(iterator):
        # aiokafka's iterator would call the getone that the official instrumentation put in.
        item = await next_as_aiokafka(beneath(own, client))
        return item, item
    with TracedCall(client) as call:
        item = await iterator.__anext__()
    received = call.received
    return item, item if received is None or topic_of(item) is not None else received


def received(client: object, record: object) -> bool:
    """Report what a consumer's own `getone` returned; whether a traced call is under way."""
    call = traced_call(client)
    if call is None:
        return False
    call.received = record
    return True


async def next_as_aiokafka(
    getone: Callable[[], Awaitable[ConsumerRecord[Any, Any]]],
) -> ConsumerRecord[Any, Any]:
    """Get the next record by `getone`, with the errors that `AIOKafkaConsumer.__anext__` has."""
    while True:
        try:
            return await getone()
        except Exception as error:
            # By name: aiokafka itself is no dependency.
            match type(error).__name__:
                case "ConsumerStoppedError":
                    raise StopAsyncIteration from None
                case "RecordTooLargeError":
                    _logger.exception("a record is too large for the consumer and is skipped")
                case _:
                    raise


def _is_aiokafkas(iterator: object) -> bool:
    module = getattr(getattr(type(iterator), "__anext__", None), "__module__", None)
    return isinstance(module, str) and module.startswith(_AIOKAFKA)
