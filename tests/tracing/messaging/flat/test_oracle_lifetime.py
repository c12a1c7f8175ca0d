"""Messages without end take no memory, and ended spans keep nothing of their records."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import ConsumerRecord, RecordMetadata, TopicPartition
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tests.tracing.messaging.flat.oracle_view import id_of
from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.core.environment import FLAT_VARIABLE
from tracing.core.ids import random_id
from tracing.export.account import ExportAccount
from tracing.export.spans import AccountedBatchSpanProcessor
from tracing.messaging.flat.engine import engine_of
from tracing.metrics.histograms import Aggregator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW_MS = 1_900_000_000_000
LARGE = 1_000_000


class Producer:
    """Acknowledges at once."""

    client_id = "bare"

    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> asyncio.Future[RecordMetadata]:
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        place = TopicPartition(topic, 0)
        future.set_result(RecordMetadata(topic, 0, place, 5, NOW_MS, 0, 0))
        return future


class Consumer:
    """Is only asked for the handling of records."""

    client_id = "bare"
    group_id = "shipping"

    async def getone(self) -> None:
        raise NotImplementedError


class Closed(SpanExporter):
    """A collector that is away: nothing leaves the queue."""

    def __init__(self) -> None:
        self.waits = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.waits.wait(60)
        return SpanExportResult.FAILURE


class Service:
    """A service with a full queue of spans, and clients without a broker.

    Args:
        make: Makes the processor of the spans.
    """

    def __init__(self, make: Callable[[SpanExporter], BatchSpanProcessor]) -> None:
        self.exporter = Closed()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.processor = make(self.exporter)
        self.provider.add_span_processor(self.processor)
        self._meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=self.provider,
            meter_provider=self._meters,
            aggregator=Aggregator(),
        )
        bare: Any = Producer()
        self.producer = TracedProducer(bare, self.telemetry)
        client: Any = Consumer()
        self.consumer = TracedConsumer(client, self.telemetry)
        self.handled = 0

    async def messages(
        self, number: int, *, size: int = 10, fails: bool = False, subject: int = 3
    ) -> None:
        """Handle messages; each handler sends another one."""
        for _ in range(number):
            self.handled += 1
            headers = (
                ("ce_id", random_id()),
                ("ce_subject", bytes(subject)),
                ("x-large", bytes(size)),
                ("traceparent", b"00-%b-%b-01" % (random_id(), random_id()[:16])),
                ("baggage", b"pipeline.name=orders,pipeline.origin=%d" % (NOW_MS + self.handled)),
            )
            record: Any = ConsumerRecord(
                "orders", 0, self.handled, NOW_MS, 0, None, bytes(size), None, 0, size, headers
            )
            try:
                async with self.consumer.process(record):
                    sent = [("x", bytes(size)), ("ce_subject", bytes(subject))]
                    await self.producer.send("out", bytes(size), headers=sent)
                    fail(fails=fails)
            except ValueError:
                await asyncio.sleep(0)
            # Callbacks of the futures.
            if self.handled % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    def close(self) -> None:
        self.exporter.waits.set()
        self.provider.shutdown()
        self._meters.shutdown()


def fail(*, fails: bool) -> None:
    if fails:
        raise ValueError("no")


def stock(exporter: SpanExporter) -> BatchSpanProcessor:
    return BatchSpanProcessor(exporter, max_queue_size=256, max_export_batch_size=128)


def in_use(service: Service, number: int, **options: Any) -> int:
    """Handle messages; return the bytes that are in use then."""
    asyncio.run(service.messages(number, **options))
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock to the time of the records."""
    from tests.tracing.messaging.flat import oracle_run  # noqa: F401, PLC0415 - imports all modules
    from tracing.messaging.flat import process, sends  # noqa: PLC0415 - with it

    for module in (process, sends):
        monkeypatch.setattr(module, "time_ns", lambda: (NOW_MS + 5) * 1_000_000)


@pytest.mark.parametrize("fails", [False, True])
def test_messages_take_no_memory_however_many_there_are(
    clock: None, *, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # pytest keeps every line, and a slow machine writes more of them: their number is limited by
    # the second.
    caplog.set_level(logging.CRITICAL + 1)
    service = Service(stock)
    tracemalloc.start()
    try:
        before = in_use(service, 600, fails=fails)
        after = in_use(service, 2_000, fails=fails)
    finally:
        tracemalloc.stop()
        service.close()

    engine = engine_of(service.telemetry)
    assert engine is not None
    assert (2_600, 2_600) == (engine.taken["process"], engine.taken["send"])
    assert after - before < 300_000


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("subject", [3, LARGE])
def test_ended_spans_keep_nothing_of_their_records(
    clock: None, *, fails: bool, subject: int
) -> None:
    service = Service(stock)
    tracemalloc.start()
    try:
        before = in_use(service, 10, fails=fails)
        after = in_use(service, 50, size=LARGE, fails=fails, subject=subject)
    finally:
        tracemalloc.stop()
        service.close()

    # The future of the last send, which the loop has closed over, may be there.
    assert after - before < 5 * LARGE


@pytest.mark.parametrize("switch", ["on", "off"])
def test_a_collector_that_is_away_stops_nothing_and_losses_are_counted(
    clock: None, switch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FLAT_VARIABLE, switch)
    account = ExportAccount()
    service = Service(lambda exporter: AccountedBatchSpanProcessor(exporter, account))
    try:
        asyncio.run(service.messages(3_000))
        lost = account.losses()["spans"]
    finally:
        service.close()

    # What the exporter holds is one batch, if it has begun; what the queue holds is 2048.
    assert 6_000 - 2048 - 512 <= lost <= 6_000 - 2048 + 512


def test_threads_with_loops_of_their_own_take_the_flat_path_at_once(clock: None) -> None:
    service = Service(stock)
    threads = [
        threading.Thread(target=lambda: asyncio.run(service.messages(500))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waiting = service.processor._batch_processor._queue
    spans = [span for span in tuple(waiting) if isinstance(span, ReadableSpan)]
    ids = {id_of(span) for span in spans}
    service.close()

    assert len(ids) == len(spans) >= 128


def test_a_forked_child_goes_on_with_ids_of_its_own(clock: None) -> None:
    service = Service(stock)
    asyncio.run(service.messages(5))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # No assertion in here: the child must not go on with the tests.
        try:
            asyncio.run(service.messages(5))
            waiting = tuple(service.processor._batch_processor._queue)
            ids = ",".join(f"{id_of(span):016x}" for span in waiting)
            os.write(writing, ids.encode())
        finally:
            os._exit(0)
    os.close(writing)
    asyncio.run(service.messages(5))
    with os.fdopen(reading) as answer:
        theirs = set(answer.read().split(","))
    os.waitpid(child, 0)
    waiting = tuple(service.processor._batch_processor._queue)
    mine = {f"{id_of(span):016x}" for span in waiting}
    service.close()

    # The parent's own first ones are the parent's to export.
    assert 10 == len(theirs)
    assert mine.isdisjoint(theirs)
