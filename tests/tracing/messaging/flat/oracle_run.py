"""Runs a scenario, and returns all that came out of it as lines of text."""

from __future__ import annotations

import asyncio
import importlib
import logging
import pkgutil
import re
import threading
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from aiokafka.structs import TopicPartition
from opentelemetry import context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from tests.tracing.messaging.flat import oracle_parts as parts
from tests.tracing.messaging.flat.oracle_clock import FixedClock, fixed_clock
from tests.tracing.messaging.flat.oracle_readings import read
from tests.tracing.messaging.flat.oracle_steps import entered, run, run_safely
from tests.tracing.messaging.flat.oracle_view import (
    Ids,
    log_lines,
    metric_lines,
    record_lines,
    shown,
)
from tracing import Telemetry, TracedConsumer, TracedProducer, delivery, messaging, spans
from tracing.core import log as library_log
from tracing.messaging import flat
from tracing.metrics.histograms import Aggregator
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer
from tracing.testing.partition_log import RecordContent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tests.tracing.messaging.flat.oracle_scenario import Message, Scenario

BEGIN: Final = b"__begin__"
END: Final = b"__end__"
PARTITIONS: Final = 2
_HEX: Final = re.compile(r"[0-9a-f]{16,32}")
# All modules, before their clocks are replaced: some are only imported when they are needed.
for _package in (delivery, flat, messaging, spans):
    for _module in pkgutil.iter_modules(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_module.name)
_RESOURCE: Final = Resource({"service.name": "shop"})


class World:
    """One run of a scenario.

    Attributes:
        kept: Spans that steps have kept.
        tokens: Contexts that steps have entered and not left.
        attempts: How often records were handled.
        handled: The record at hand.
        patience: How long records may take.
    """

    def __init__(self, scenario: Scenario, clock: FixedClock, *, fast: bool) -> None:
        setup = scenario.setup
        self.scenario = scenario
        self.clock = clock
        self.seen: list[str] = []
        self.kept: list[Any] = []
        self.tokens: list[Any] = []
        self.attempts: dict[Any, int] = {}
        self.handled: Any = None
        self.patience: asyncio.Timeout | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._noted: list[tuple[str, Callable[[], list[str]]]] = []
        self.provider = TracerProvider(
            sampler=parts.SAMPLERS[setup.sampler](),
            id_generator=parts.IDS[setup.ids](),
            span_limits=parts.LIMITS[setup.limits](),
            resource=_RESOURCE,
            shutdown_on_exit=False,
        )
        for name in setup.processors:
            self.add_processor(name)
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider([self._reader], resource=_RESOURCE, shutdown_on_exit=False)
        self._log_exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK
        self._loggers = LoggerProvider(_RESOURCE, shutdown_on_exit=False)
        self._loggers.add_log_record_processor(SimpleLogRecordProcessor(self._log_exporter))
        self._aggregator = Aggregator() if setup.aggregator else None
        self.tracer = self.provider.get_tracer("application")
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=self.provider,
            meter_provider=self._meters,
            logger_provider=self._loggers,
            propagator=parts.PROPAGATORS[setup.propagator](),
            aggregator=self._aggregator,
            source="/shop",
            fast=fast,
            **setup.options,
        )
        self.broker = InMemoryBroker(partitions=PARTITIONS)
        self.producer = TracedProducer(
            InMemoryProducer(self.broker, client_id=setup.client_id), self.telemetry
        )
        self.topics = tuple(dict.fromkeys(each.topic for each in scenario.records))
        self.consumer = self.new_consumer(setup.group)

    def new_consumer(self, group: str | None) -> TracedConsumer:
        bare = InMemoryConsumer(
            *self.topics,
            broker=self.broker,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            client_id=self.scenario.setup.client_id,
        )
        return TracedConsumer(bare, self.telemetry)

    def note(self, what: str, *facts: object) -> None:
        self.seen.append(f"{what} {' '.join(map(shown, facts))}")

    def add_processor(self, name: str) -> None:
        made, lines = parts.processor(name)
        self.provider.add_span_processor(made)
        self._noted.append((name, lines))

    def collect(self) -> None:
        data = self._reader.get_metrics_data()
        self.seen += metric_lines(data, self._aggregator)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(coroutine))

    async def send(self, message: Message, headers: Any = None) -> None:
        """Send a message, and note what comes of it; errors are the sender's to see."""
        if headers is None and message.headers is not None:
            shapes: dict[str, Any] = {"list": list, "tuple": tuple, "iterator": iter}
            headers = shapes[message.shape](message.headers)
        given = {
            "key": message.key, "partition": message.partition, "headers": headers,
            "timestamp_ms": message.timestamp_ms,
        }  # fmt: skip
        if message.how == "fail":
            self.broker.fail_next_send(OSError("no broker"))
        before = list(headers) if isinstance(headers, list) else None
        # What is read must have an end.
        topic = f"{message.topic}.next" if message.topic in self.topics else message.topic
        try:
            if message.how in {"wait", "fail"}:
                metadata = await self.producer.send_and_wait(topic, message.value, **given)
                self.note("sent", metadata)
            else:
                future = await self.producer.send(topic, message.value, **given)
                self.note("sending", type(future), future.done())
                if message.how == "cancel":
                    future.cancel()
                self.start(self._acknowledged(future))
        except Exception as error:
            notes = getattr(error, "__notes__", ())
            self.note("not sent", type(error), str(error), notes, error.__context__)
        if before is not None and before != headers:
            self.note("the caller's headers have changed")

    async def _acknowledged(self, future: asyncio.Future[Any]) -> None:
        try:
            self.note("acknowledged", await future)
        except (Exception, asyncio.CancelledError) as error:
            self.note("not acknowledged", type(error))

    def feed(self) -> None:
        """Put in the records that others have sent, and one at each end of each partition.

        The first one shows that the group is not catching up.
        """
        self._feed_marks(BEGIN)
        for number, message in enumerate(self.scenario.records):
            # The loop handles partitions at once, in any order.
            partition = 0 if self.scenario.reading == "consume" else message.partition or 0
            timestamp = message.timestamp_ms
            headers: Any = message.headers or ()
            self.broker.log(TopicPartition(message.topic, partition)).append(
                RecordContent(
                    message.key,
                    message.value,
                    list(headers) if number % 3 == 2 else headers,  # type: ignore[arg-type]
                    self.clock.now_ms if timestamp is None else timestamp,
                )
            )
        self._feed_marks(END)

    def _feed_marks(self, mark: bytes) -> None:
        for topic in self.topics:
            for partition in range(PARTITIONS):
                self.broker.log(TopicPartition(topic, partition)).append(
                    RecordContent(None, mark, (), self.clock.now_ms)
                )

    async def handle(self, record: Any, number: int) -> None:
        """Do what the handler of a record does."""
        handlers = self.scenario.handlers
        self.handled = record
        self.note("handle", record.topic, record.partition, record.offset, record.value)
        await run(self, handlers[number % len(handlers)], record)

    async def live(self) -> None:
        scenario = self.scenario
        token = None
        if scenario.setup.ambient != "none":
            token = context.attach(entered(scenario.setup.ambient))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.producer)
            await run_safely(self, scenario.before)
            if scenario.records:
                self.feed()
                await stack.enter_async_context(self.consumer)
                await read(self)
            await run_safely(self, scenario.after)
            await self.settle()
        if token is not None:
            context.detach(token)

    async def settle(self) -> None:
        """Wait for the tasks that are left."""
        for task in self._tasks:
            try:
                await task
            except BaseException as error:
                self.note("a task ended with", type(error))
        await asyncio.sleep(0)

    def lines(self) -> list[str]:
        """Return all that came out, with ids as they are."""
        self.provider.force_flush()
        noted = [f"[{name}] {line}" for name, lines in self._noted for line in lines()]
        return [
            *self.seen,
            *record_lines(self.broker),
            *noted,
            *metric_lines(self._reader.get_metrics_data(), self._aggregator),
            *log_lines(self._log_exporter.get_finished_logs()),
        ]

    def close(self) -> None:
        self.provider.shutdown()
        self._meters.shutdown()
        self._loggers.shutdown()


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._thread:
            # Such as an exporter's that another test has left behind.
            return
        # What follows in parentheses is where an error comes from.
        text = record.getMessage().split(" (")[0]
        self.lines.append(f"log {record.name} {record.levelname} {text}")


@contextmanager
def _logged() -> Iterator[_Lines]:
    handler = _Lines()
    warned = set(library_log._warned)
    library_log._warned.clear()
    loggers = [logging.getLogger("tracing"), logging.getLogger("opentelemetry")]
    before = [(logger, logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield handler
    finally:
        for logger, propagate, level in before:
            logger.removeHandler(handler)
            logger.propagate = propagate
            logger.setLevel(level)
        library_log._warned.update(warned)


def outcome(scenario: Scenario, *, fast: bool = True) -> list[str]:
    """Run a scenario; return all that came out of it, without what is random."""
    with fixed_clock() as clock, _logged() as logged:
        world = World(scenario, clock, fast=fast)
        try:
            asyncio.run(world.live())
            # The SDK warns of changes after the end, of each or of several at once. Lines that
            # differ in a random id alone stay in their order.
            warned = sorted(dict.fromkeys(logged.lines), key=lambda line: _HEX.sub("", line))
            lines = [*world.lines(), *warned]
        finally:
            world.close()
    ids = Ids(_HEX.findall(repr(scenario)))
    return [ids.without(line) for line in lines]
