"""What the code of a scenario does, step by step, and what it sees while it does so."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags, TraceState

import tracing
from tests.tracing.messaging.flat.oracle_view import keys_of, shown
from tracing import EventLogFilter, Rejected, Unprocessable
from tracing.core.otel_context import FLOW_KEY
from tracing.messaging.process import Processing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.tracing.messaging.flat.oracle_run import World
    from tests.tracing.messaging.flat.oracle_scenario import Message, Step

LINKED = SpanContext(
    0xABCD, 0xEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")])
)
_ERRORS: dict[str, Callable[[], BaseException]] = {
    "value": lambda: ValueError("wrong"),
    "rejected": lambda: Rejected("card declined"),
    "unprocessable": lambda: Unprocessable("poison"),
    "cancelled": asyncio.CancelledError,
    "interrupt": KeyboardInterrupt,
    "exit": lambda: SystemExit(3),
    "group": lambda: ExceptionGroup("several", [Rejected("no"), OSError("down")]),
    "stop": StopAsyncIteration,
}


def _error(kind: str) -> BaseException:
    return _ERRORS[kind]()


async def run_safely(world: World, steps: Iterable[Step]) -> None:
    """Do one step after the other, and note an error."""
    try:
        await run(world, steps)
    except BaseException as error:
        world.note("steps ended with", type(error), str(error))


async def run(world: World, steps: Iterable[Step], record: Any = None) -> None:
    """Do one step after the other; an error of one of them ends it."""
    for name, *arguments in steps:
        action = getattr(Steps, name)
        result = action(world, record, *arguments)
        if asyncio.iscoroutine(result):
            await result


class Steps:
    """The steps, by name; each gets the world, the record at hand, and its arguments."""

    @staticmethod
    def look(world: World, record: Any) -> None:
        """Note all that code in here can see."""
        span = trace.get_current_span()
        now = context.get_current()
        world.note("look", span.get_span_context(), span.is_recording(), keys_of(now))
        world.note(" baggage", baggage.get_all(), now.get(FLOW_KEY) is now.get("baggage"))
        handling = tracing.current_processing()
        world.note(" handling", handling is not None, tracing.current_batch() is not None)
        if handling is not None:
            world.note(
                " of", handling.record is world.handled, handling.event, handling.counts_in_flow,
                handling.span.get_span_context(), handling.span is span,
                isinstance(handling, Processing),
            )  # fmt: skip
        line = logging.LogRecord("x", 20, "x", 1, "x", (), None)
        EventLogFilter().filter(line)
        world.note(" log", *(getattr(line, name) for name in ("trace_id", "span_id", "event_id")))

    @staticmethod
    def read(world: World, record: Any) -> None:
        """Read the running span as processors and libraries do."""
        span = trace.get_current_span()
        if isinstance(span, ReadableSpan):
            world.note(
                "read", span.name, span.kind, span.parent, span.attributes, span.start_time,
                span.end_time, span.status.status_code, len(span.events), len(span.links),
            )  # fmt: skip

    @staticmethod
    async def send(world: World, record: Any, message: Message) -> None:
        await world.send(message)

    @staticmethod
    async def forward(world: World, record: Any, message: Message) -> None:
        """Send what was received, with its headers."""
        headers = () if record is None else record.headers
        await world.send(message, headers=headers)

    @staticmethod
    def attribute(world: World, record: Any, name: Any, value: Any) -> None:
        trace.get_current_span().set_attribute(name, value)

    @staticmethod
    def attributes(world: World, record: Any, values: Any) -> None:
        trace.get_current_span().set_attributes(dict(values))

    @staticmethod
    def event(world: World, record: Any, name: str, values: Any, timestamp: int | None) -> None:
        trace.get_current_span().add_event(name, values, timestamp)

    @staticmethod
    def status(world: World, record: Any, code: str, description: str | None) -> None:
        trace.get_current_span().set_status(Status(StatusCode[code], description))

    @staticmethod
    def exception(world: World, record: Any) -> None:
        trace.get_current_span().record_exception(ValueError("noted"), {"x": 1}, escaped=True)

    @staticmethod
    def rename(world: World, record: Any, name: str) -> None:
        trace.get_current_span().update_name(name)

    @staticmethod
    def link(world: World, record: Any) -> None:
        trace.get_current_span().add_link(LINKED, {"l": "m"})

    @staticmethod
    def end(world: World, record: Any, end_time: int | None) -> None:
        trace.get_current_span().end(end_time)

    @staticmethod
    def keep(world: World, record: Any) -> None:
        """Keep the running span, which later steps change by `late`."""
        world.kept.append(trace.get_current_span())

    @staticmethod
    def late(world: World, record: Any) -> None:
        """Change and read spans that have ended, as a rule."""
        for span in world.kept:
            span.set_attribute("late", True)
            span.add_event("late")
            span.end()
            world.note("late", span.is_recording(), span.get_span_context(), type(span).__eq__)
            if isinstance(span, ReadableSpan):
                world.note(" it is", span.name, span.attributes, span.end_time, span.parent)

    @staticmethod
    def advance(world: World, record: Any, ms: float) -> None:
        world.clock.advance(ms)

    @staticmethod
    async def turn(world: World, record: Any, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    @staticmethod
    async def inside(world: World, record: Any, entry: str, steps: Iterable[Step]) -> None:
        """Do steps in another context, which is left again, also if they fail."""
        token = context.attach(entered(entry))
        try:
            await run(world, steps, record)
        finally:
            context.detach(token)

    @staticmethod
    def enter(world: World, record: Any, entry: str) -> None:
        """Enter a context that is not left here."""
        world.tokens.append(context.attach(entered(entry)))

    @staticmethod
    def leave(world: World, record: Any) -> None:
        """Leave the context that was entered first, in whatever order that is."""
        if world.tokens:
            context.detach(world.tokens.pop(0))

    @staticmethod
    async def child(world: World, record: Any, steps: Iterable[Step]) -> None:
        with world.tracer.start_as_current_span("child", attributes={"c": "d"}):
            await run(world, steps, record)

    @staticmethod
    def task(world: World, record: Any, steps: Iterable[Step]) -> None:
        """Start a task that may outlive the handling."""
        world.start(run(world, steps, record))

    @staticmethod
    async def group(world: World, record: Any, steps: Iterable[Step]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run(world, steps, record))
            tasks.create_task(run(world, steps, record))

    @staticmethod
    def copied(world: World, record: Any) -> None:
        """Look from a copy of the context, and from a callback."""
        copy_context().run(Steps.look, world, record)
        asyncio.get_running_loop().call_soon(partial(Steps.look, world, record))

    @staticmethod
    def reject(world: World, record: Any, reason: str) -> None:
        handling = tracing.current_processing()
        if handling is not None:
            handling.reject(reason)

    @staticmethod
    def duplicate(world: World, record: Any) -> None:
        handling = tracing.current_processing()
        if handling is not None:
            handling.duplicate()

    @staticmethod
    def fail(world: World, record: Any, kind: str) -> None:
        # The interpreter ends on an interrupt within a task of a loop.
        ends_all = kind == "interrupt" and world.scenario.reading == "consume"
        raise _error("value" if ends_all else kind)

    @staticmethod
    async def attempt(world: World, record: Any, kind: str, times: int) -> None:
        """Fail the first times that a record is handled."""
        key = (record.topic, record.partition, record.offset) if record is not None else None
        world.attempts[key] = world.attempts.get(key, 0) + 1
        if world.attempts[key] <= times:
            raise _error(kind)

    @staticmethod
    def processor(world: World, record: Any, name: str) -> None:
        """Add a processor while the service runs."""
        world.add_processor(name)

    @staticmethod
    def collect(world: World, record: Any) -> None:
        """Collect metrics while the service runs, as a reader does."""
        world.collect()

    @staticmethod
    def garbage(world: World, record: Any) -> None:
        gc.collect()

    @staticmethod
    async def process(world: World, record: Any, steps: Iterable[Step]) -> None:
        """Handle the same record in a block of its own, within its handling."""
        if record is None:
            return
        async with world.consumer.process(record):
            await run(world, steps, record)

    @staticmethod
    def sync(world: World, record: Any) -> None:
        """Handle the record in a plain block, and see what `process` returned afterwards."""
        if record is None:
            return
        handling = world.consumer.process(record)
        with handling as entered_handling:
            world.note("entered", entered_handling is tracing.current_processing())
            Steps.look(world, record)
        world.note("left", shown(handling.span.get_span_context()), handling.counts_in_flow)


_FLAGS = {"sampled": 1, "unsampled": 0, "random": 3, "unsampled_random": 2}


def entered(entry: str) -> context.Context:
    """Return a context by name."""
    now = context.get_current()
    entries: dict[str, Callable[[], context.Context]] = {
        "empty": context.Context,
        "suppressed": lambda: context.set_value("suppress_instrumentation", True, now),
        "baggage": lambda: baggage.set_baggage("tenant", "a b, ü", now),
        "same_baggage": lambda: baggage.set_baggage("tenant", "blue", now),
        "forged": lambda: baggage.set_baggage(
            "pipeline.origin", "1700000000000", baggage.set_baggage("pipeline.name", "forged", now)
        ),
        "no_baggage": lambda: baggage.clear(now),
        "odd_baggage": lambda: baggage.set_baggage("bad name", object, now),
        "no_span": lambda: trace.set_span_in_context(trace.INVALID_SPAN, now),
    }
    if entry in entries:
        return entries[entry]()
    flags = TraceFlags(_FLAGS[entry])
    around = SpanContext(0x1234, 0x56, is_remote=False, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(around), now)
