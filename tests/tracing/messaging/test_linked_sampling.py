"""Traces that are linked are sampled together: both sides are kept, or neither is."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from secrets import randbits
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)

import tracing
from tracing import Boundary, DeadLetters, HttpBoundary, Telemetry, TracedConsumer, TracedProducer
from tracing.dlq.outgoing import ReplaySends, replay_headers
from tracing.dlq.reading import Letter
from tracing.kafka.client import client_info
from tracing.testing import (
    Capture,
    InMemoryBroker,
    InMemoryConsumer,
    InMemoryProducer,
    eventually,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.tracing.conftest import Clients

TRACES: Final = 200


class ByWholeId(Sampler):
    """A user's own sampler: it asks no parent, and looks at every bit of the trace id."""

    def should_sample(
        self, parent_context: Any, trace_id: int, *_: object, **__: object
    ) -> SamplingResult:
        del parent_context
        kept = sha256(trace_id.to_bytes(16)).digest()[0] % 2
        return SamplingResult(Decision.RECORD_AND_SAMPLE if kept else Decision.DROP)

    def get_description(self) -> str:
        return "ByWholeId"


class TimedIds(IdGenerator):
    """Trace ids that begin with the time, as some backends want them."""

    def generate_span_id(self) -> int:
        return randbits(64) or 1

    def generate_trace_id(self) -> int:
        return int(time.time()) << 96 | randbits(96)


class Service:
    """A service with a sampler, and what it exports."""

    def __init__(
        self, sampler: Sampler, *, fast: bool, generator: IdGenerator | None = None, **options: Any
    ) -> None:
        self.capture = Capture(sampler=sampler)
        if generator is not None:
            self.capture.tracer_provider.id_generator = cast("Any", generator)
        self.telemetry = Telemetry(
            "orders",
            tracer_provider=self.capture.tracer_provider,
            meter_provider=self.capture.meter_provider,
            fast=fast,
            **options,
        )

    def producer(self, broker: InMemoryBroker) -> TracedProducer:
        return TracedProducer(InMemoryProducer(broker), self.telemetry)

    def consumer(self, broker: InMemoryBroker, topic: str = "orders") -> TracedConsumer:
        bare = InMemoryConsumer(
            topic, broker=broker, group_id="g", auto_offset_reset="earliest",
            enable_auto_commit=False,
        )  # fmt: skip
        return TracedConsumer(bare, self.telemetry, group="g")

    def exported(self, operation: str) -> list[ReadableSpan]:
        return [s for s in self.capture.spans() if s.name.startswith(f"{operation} ")]

    def kept(self, operation: str) -> set[int]:
        return {id_of(span) for span in self.exported(operation)}

    def linked_to(self, operation: str) -> set[int]:
        """Return the ids of the spans that exported spans are linked to first."""
        return {span.links[0].context.span_id for span in self.exported(operation)}


Both = tuple[Service, Service]


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def creation_of(record: Any) -> int:
    """Return the id of the span that created a record."""
    return int(dict(record.headers)["traceparent"].split(b"-")[2], 16)


async def send(service: Service, broker: InMemoryBroker, **options: Any) -> None:
    async with service.producer(broker) as producer:
        for _ in range(TRACES):
            await producer.send_and_wait("orders", b"v", partition=0, **options)


async def handle(service: Service, broker: InMemoryBroker) -> None:
    """Handle each record in a span of its own, and send on what comes of it."""
    async with service.consumer(broker) as consumer, service.producer(broker) as producer:
        for _ in range(TRACES):
            async with consumer.process(await consumer.getone()):
                await producer.send_and_wait("results", b"v")


async def by_relation(before: Service, after: Service) -> set[int]:
    broker = InMemoryBroker()
    after.telemetry = Telemetry(
        "orders",
        tracer_provider=after.capture.tracer_provider,
        relation="link",
        fast=after.telemetry.fast,
    )
    await send(before, broker)
    await handle(after, broker)
    assert after.linked_to("process") == before.kept("send")
    return before.kept("send")


async def by_age(before: Service, after: Service) -> set[int]:
    broker = InMemoryBroker()
    await send(before, broker, timestamp_ms=int(time.time() * 1000) - 7_200_000)
    await handle(after, broker)
    assert after.linked_to("process") == before.kept("send")
    # Nor is the new trace itself broken.
    assert after.kept("process") == {span.parent.span_id for span in after.exported("send")}  # type: ignore[union-attr]  # has one
    return before.kept("send")


async def by_batch(before: Service, after: Service) -> set[int]:
    broker = InMemoryBroker()
    await send(before, broker)
    async with after.consumer(broker) as consumer:
        for _ in range(TRACES):
            async with consumer.process_batch([await consumer.getone()]):
                pass
    assert after.linked_to("process") == before.kept("send")
    return before.kept("send")


async def by_poll(before: Service, after: Service) -> set[int]:
    broker = InMemoryBroker()
    await send(before, broker)
    async with after.consumer(broker) as consumer:
        for _ in range(TRACES):
            assert await consumer.getmany(max_records=1)
    assert after.linked_to("poll") == before.kept("send")
    return before.kept("send")


async def by_batch_of_messages(_: Service, both: Service) -> set[int]:
    broker = InMemoryBroker()
    async with both.producer(broker) as producer:
        for _number in range(TRACES):
            batch = producer.create_batch()
            batch.append(timestamp=None, key=None, value=b"v")
            await (await producer.send_batch(batch, "orders", partition=0))
    assert both.linked_to("send") == both.kept("create")
    return both.kept("create")


async def by_replay(before: Service, after: Service) -> set[int]:
    """A dead letter of an old record, whose own trace is linked, and then its replay."""
    broker = InMemoryBroker()
    await send(before, broker, timestamp_ms=int(time.time() * 1000) - 7_200_000)
    await give_up(after, broker)
    # Its own traces would never be sampled.
    replayer = Service(ParentBased(ALWAYS_OFF), fast=after.telemetry.fast)
    producer = InMemoryProducer(broker)
    info = client_info(producer, group=None, client_id=None)
    sends = ReplaySends(replayer.telemetry, info)
    for record in broker.records("orders.g.dlq"):
        letter = Letter.of(record)
        assert letter.provenance is not None
        headers, mark = replay_headers(letter, letter.provenance)
        sending = sends.begin(letter, letter.provenance, headers, mark)
        assert sending is not None
        sending.acknowledged(None)
    assert after.linked_to("process") == before.kept("send")
    assert replayer.linked_to("replay") == after.kept("dead_letter")
    assert len(after.kept("dead_letter")) == len(before.kept("send"))
    return before.kept("send")


async def give_up(service: Service, broker: InMemoryBroker) -> None:
    async def fail(_record: Any) -> None:
        raise tracing.Unprocessable("no")

    stop = asyncio.Event()
    async with service.producer(broker) as producer, service.consumer(broker) as consumer:
        loop = asyncio.create_task(
            tracing.consume(consumer, fail, dead_letters=DeadLetters(producer), stop=stop)
        )
        assert await eventually(lambda: len(broker.records("orders.g.dlq")) == TRACES)
        stop.set()
        await loop


WAYS: Final[tuple[Callable[[Service, Service], Awaitable[set[int]]], ...]] = (
    by_relation, by_age, by_batch, by_poll, by_batch_of_messages, by_replay,
)  # fmt: skip


def ratio() -> tuple[Sampler, Sampler]:
    return TraceIdRatioBased(0.5), TraceIdRatioBased(0.5)


def parent_based() -> tuple[Sampler, Sampler]:
    return ParentBased(TraceIdRatioBased(0.5)), ParentBased(TraceIdRatioBased(0.5))


def other_ratio() -> tuple[Sampler, Sampler]:
    return TraceIdRatioBased(0.4), ParentBased(TraceIdRatioBased(0.1))


def composable() -> tuple[Sampler, Sampler]:
    new = pytest.importorskip("opentelemetry.sdk.trace._sampling_experimental")
    sampler = new.composite_sampler(
        new.composable_parent_threshold(new.composable_traceid_ratio_based(0.5))
    )
    return sampler, sampler


def whole_id() -> tuple[Sampler, Sampler]:
    return ByWholeId(), ParentBased(ByWholeId())


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
@pytest.mark.parametrize("samplers", [ratio, parent_based, other_ratio, composable, whole_id])
@pytest.mark.parametrize("way", WAYS)
async def test_of_200_linked_traces_both_sides_are_kept_or_neither(
    way: Callable[[Service, Service], Awaitable[set[int]]],
    samplers: Callable[[], tuple[Sampler, Sampler]],
    fast: bool,
) -> None:
    before, after = samplers()

    kept = await way(Service(before, fast=fast), Service(after, fast=fast))

    assert 0 < len(kept) < TRACES


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
@pytest.mark.parametrize("way", WAYS)
async def test_with_ids_of_ones_own_both_sides_are_kept_or_neither(
    way: Callable[[Service, Service], Awaitable[set[int]]], fast: bool
) -> None:
    before, after = (
        Service(ParentBased(TraceIdRatioBased(0.5)), fast=fast, generator=TimedIds())
        for _ in range(2)
    )

    kept = await way(before, after)

    assert 0 < len(kept) < TRACES


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
async def test_a_batch_is_kept_where_one_of_its_messages_is(fast: bool) -> None:
    broker = InMemoryBroker()
    before = Service(TraceIdRatioBased(0.2), fast=fast)
    after = Service(ParentBased(ALWAYS_ON), fast=fast)
    await send(before, broker)
    kept = before.kept("send")
    expected = 0

    async with after.consumer(broker) as consumer:
        for _ in range(TRACES // 5):
            batch = [await consumer.getone() for _ in range(5)]
            created = {
                int(dict(record.headers)["traceparent"].split(b"-")[2], 16) for record in batch
            }
            expected += not kept.isdisjoint(created)
            async with consumer.process_batch(batch):
                pass

    assert 5 < expected < TRACES // 5 - 1
    assert expected == len(after.exported("process"))


async def test_a_poll_of_many_messages_keeps_the_decision_of_the_first() -> None:
    broker = InMemoryBroker()
    before = Service(TraceIdRatioBased(0.5), fast=True)
    after = Service(ParentBased(ALWAYS_ON), fast=True)
    await send(before, broker)
    kept = before.kept("send")
    firsts: list[int] = []

    async with after.consumer(broker) as consumer:
        for _ in range(TRACES // 5):
            ((first, *_others),) = (await consumer.getmany(max_records=5)).values()
            firsts.append(creation_of(first))

    assert [first for first in firsts if first in kept] == [
        span.links[0].context.span_id for span in after.exported("poll")
    ]


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF])
async def test_a_poll_counts_a_malformed_context_once(sampler: Sampler) -> None:
    broker = InMemoryBroker()
    service = Service(sampler, fast=True)
    async with InMemoryProducer(broker) as producer:
        await producer.send_and_wait("orders", b"v", headers=[("traceparent", b"broken")])

    async with service.consumer(broker) as consumer:
        await consumer.getmany()

    assert 1 == service.capture.metric("pipeline.context.invalid", {"reason": "traceparent"})


async def test_linked_traces_agree_on_any_broker(clients: Clients) -> None:
    before = Service(TraceIdRatioBased(0.4), fast=True)
    after = Service(ParentBased(TraceIdRatioBased(0.1)), fast=True, relation="link")
    topic = await clients.topic()
    clients.telemetry = before.telemetry
    producer = await clients.producer()
    for _ in range(TRACES):
        await producer.send_and_wait(topic, b"v", partition=0)
    clients.telemetry = after.telemetry
    handled = 0

    consumer = await clients.consumer(topic, group="linked")
    while handled < TRACES:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            async with consumer.process_batch(records[:1]):
                pass
            for record in records:
                async with consumer.process(record):
                    handled += 1

    assert 10 < len(before.kept("send")) < TRACES - 10
    batches = after.linked_to(f"process {topic}") - before.kept("send")
    assert set() == batches
    singles = {
        span.links[0].context.span_id
        for span in after.exported("process")
        if "messaging.batch.message_count" not in (span.attributes or {})
    }
    assert singles == before.kept("send")


async def test_a_boundary_that_hides_a_trace_hides_its_decision_as_well() -> None:
    broker = InMemoryBroker()
    closed = {"orders": Boundary(trace_context=False)}
    before = Service(TraceIdRatioBased(0.5), fast=True, boundaries=closed)
    after = Service(ALWAYS_ON, fast=True, boundaries=closed, relation="link")
    await send(before, broker)

    await handle(after, broker)

    assert TRACES == len(after.exported("process"))
    assert not any(span.links for span in after.exported("process"))


async def test_a_caller_that_is_only_linked_does_not_decide() -> None:
    service = Service(ParentBased(ALWAYS_ON), fast=True)
    tracer = service.capture.tracer_provider.get_tracer("http")

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        with tracer.start_as_current_span("GET /") as span:
            HttpBoundary.link(span, scope)

    unsampled = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    scope = {"type": "http", "headers": [(b"traceparent", unsampled)]}
    await HttpBoundary(app, service.telemetry, caller="link")(scope, None, None)  # type: ignore[arg-type]  # unused

    assert {0x00F067AA0BA902B7} == service.linked_to("GET")
