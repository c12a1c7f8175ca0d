"""Zero-code: a task handles what it received by `getone` or `getmany` until its next request."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from opentelemetry import baggage, trace
from opentelemetry.context import get_current

from demo_pipeline.broker import create_topics
from tests.tracing.kafka.conftest import ZeroCodeRun, consumer_options
from tracing import current_processing
from tracing.kafka.instrumentor import POLL_LOOPS_VARIABLE
from tracing.testing import Capture, eventually

pytestmark = pytest.mark.integration

BareConsumer: Any = AIOKafkaConsumer  # typed in parts only
BareProducer: Any = AIOKafkaProducer
STAY_S = 0.2


@pytest.fixture
async def producer(embedded_servers: str) -> AsyncIterator[Any]:
    async with BareProducer(bootstrap_servers=embedded_servers) as producer:
        yield producer


@pytest.fixture
async def consumer(embedded_servers: str, topic: str) -> AsyncIterator[Any]:
    """A consumer without a group, which has to join nothing."""
    options = consumer_options(embedded_servers) | {"group_id": None}
    async with BareConsumer(topic, **options) as consumer:
        yield consumer


@pytest.fixture
async def in_group(embedded_servers: str, topic: str) -> AsyncIterator[Any]:
    async with BareConsumer(topic, **consumer_options(embedded_servers)) as consumer:
        yield consumer


@pytest.fixture
def on(zero_code: ZeroCodeRun) -> ZeroCodeRun:
    zero_code.on()
    return zero_code


async def send(producer: Any, topic: str, number: int = 1) -> None:
    """Send records, each in a trace of its own."""
    for each in range(number):
        await producer.send_and_wait(topic, str(each).encode(), partition=0)


async def a_task(work: Any) -> Any:
    """Await in a task of its own, with the callbacks at its end."""
    task = asyncio.create_task(work)
    await asyncio.wait([task])
    await asyncio.sleep(0)
    return await task


def tree(capture: Capture, topic: str, *attributes: str, links: bool = False) -> str:
    return capture.tree(attributes=attributes, links=links).replace(topic, "T")


def histogram(capture: Capture, name: str) -> Any:
    return capture.metric(name)


async def test_consecutive_calls_of_getone_form_a_loop(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic, 2)

    async def forward() -> None:
        for _ in range(2):
            record = await consumer.getone()
            await producer.send_and_wait(f"{topic}-out", record.value)

    await a_task(forward())

    one = "send T PRODUCER\n  process T CONSUMER pipeline.outcome=ok\n    send T-out PRODUCER"
    assert f"{one}\n{one}" == tree(on.capture, topic, "pipeline.outcome")
    for name in ("messaging.process.duration", "pipeline.wait.duration"):
        assert 2 == histogram(on.capture, name).count


async def test_the_origin_passes_through_hops_that_use_getone_or_getmany(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str, embedded_servers: str
) -> None:
    options = consumer_options(embedded_servers) | {"group_id": None}
    await send(producer, topic)

    async def first_hop() -> None:
        await consumer.getone()
        await asyncio.sleep(STAY_S)  # work, so that the hop has a duration to be seen
        await send(producer, f"{topic}-2")

    async def second_hop(second: Any) -> None:
        while not await second.getmany(timeout_ms=1000):
            pass
        await asyncio.sleep(STAY_S)  # as above
        await send(producer, f"{topic}-3")

    async def third_hop(third: Any) -> None:
        await third.getone()

    await a_task(first_hop())
    async with BareConsumer(f"{topic}-2", **options) as second:
        await a_task(second_hop(second))
    on.capture.clear()
    async with BareConsumer(f"{topic}-3", **options) as third:
        await a_task(third_hop(third))

    last: Any = on.capture.metric(
        "pipeline.end_to_end.duration", {"messaging.destination.name": f"{topic}-3"}
    )
    assert 1 == last.count
    assert last.sum >= 2 * STAY_S


async def test_a_record_is_handled_until_the_next_one_is_requested(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic)
    await consumer.getone()
    assert "process" not in on.capture.tree()

    waiting = asyncio.create_task(consumer.getone())
    assert trace.get_current_span().get_span_context().is_valid
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await consumer.getone()

    assert "process" in on.capture.tree()
    assert not trace.get_current_span().get_span_context().is_valid


async def test_a_commit_ends_the_handling_and_its_flow(
    on: ZeroCodeRun, producer: Any, in_group: Any, topic: str
) -> None:
    await send(producer, topic)

    async def handle() -> None:
        await in_group.getone()
        await in_group.commit()
        await send(producer, f"{topic}-out")

    await a_task(handle())

    assert (
        "send T PRODUCER\n  process T CONSUMER pipeline.outcome=ok\nsend T-out PRODUCER"
    ) == tree(on.capture, topic, "pipeline.outcome")


async def test_a_batch_is_handled_until_all_its_partitions_are_committed(
    on: ZeroCodeRun, producer: Any, embedded_servers: str, topic: str
) -> None:
    name = f"{topic}-wide"
    await create_topics(embedded_servers, {name: 2})
    for partition in (0, 0, 1):
        await producer.send_and_wait(name, b"v", partition=partition)
    out: list[str] = []

    async def handle(consumer: Any) -> None:
        batch: dict[Any, list[Any]] = {}
        while sum(map(len, batch.values())) < 3:
            await consumer.seek_to_beginning()
            batch = await consumer.getmany(timeout_ms=1000)
        # As aiokafka's documentation has it.
        for partition, records in batch.items():
            await consumer.commit({partition: records[0].offset})  # as a position: none of it
            out.append(f"{topic}-out-{partition.partition}")
            await send(producer, out[-1])
            await consumer.commit({partition: (records[-1].offset + 1, "")})
        await send(producer, f"{topic}-after")

    async with BareConsumer(name, **consumer_options(embedded_servers)) as consumer:
        await a_task(handle(consumer))

    spans = {span.name: span for span in on.capture.spans()}
    process = spans[f"process {name}"].context
    assert [process, process] == [spans[f"send {each}"].parent for each in out]
    assert None is spans[f"send {topic}-after"].parent


@pytest.mark.parametrize("form", ["position", "metadata", "partial", "wrong"])
async def test_a_record_is_handled_until_a_commit_that_covers_it(
    on: ZeroCodeRun, producer: Any, in_group: Any, topic: str, form: str
) -> None:
    await send(producer, topic)

    async def handle() -> None:
        record = await in_group.getone()
        partition = TopicPartition(record.topic, record.partition)
        offsets: dict[str, Any] = {
            "position": {partition: record.offset + 1},
            "metadata": {partition: OffsetAndMetadata(record.offset + 1, "done")},
            "partial": {partition: record.offset},
            "wrong": "no offsets",
        }
        with suppress(Exception):
            await in_group.commit(offsets=offsets[form])
        await send(producer, f"{topic}-out")

    await a_task(handle())

    indented = "    " if form == "partial" else ""
    assert f"send T PRODUCER\n  process T CONSUMER\n{indented}send T-out PRODUCER" == tree(
        on.capture, topic
    )


async def test_a_failing_task_fails_the_handling_and_asyncio_still_logs_its_error(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    unseen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    await send(producer, topic)

    async def fail() -> None:
        await consumer.getone()
        raise ValueError("no")

    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    await eventually(lambda: "process" in on.capture.tree())

    assert (
        "send T PRODUCER\n  process T CONSUMER ERROR pipeline.outcome=error error.type=ValueError"
    ) == tree(on.capture, topic, "pipeline.outcome", "error.type")
    on.capture.clear()  # the log record of the failure has its context, and that has the task
    del task
    gc.collect()
    assert ["Task exception was never retrieved"] == [context["message"] for context in unseen]


async def test_a_cancelled_task_leaves_no_outcome(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic)
    handled = asyncio.Event()

    async def hang() -> None:
        await consumer.getone()
        handled.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await handled.wait()
    task.cancel()
    await asyncio.wait([task])
    await eventually(lambda: "process" in on.capture.tree())

    assert "send T PRODUCER\n  process T CONSUMER" == tree(on.capture, topic, "pipeline.outcome")
    assert None is on.capture.metric("messaging.process.duration")


@pytest.mark.parametrize("many", [False, True])
async def test_a_task_that_only_receives_for_another_one_has_handled_nothing(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str, many: bool
) -> None:
    await send(producer, topic)
    get = consumer.getmany(timeout_ms=5000) if many else consumer.getone()

    received = await a_task(get)
    await eventually(lambda: "process" in on.capture.tree())

    assert received
    assert not trace.get_current_span().get_span_context().is_valid
    assert "outcome" not in on.capture.tree(attributes=["pipeline.outcome"])
    assert None is on.capture.metric("messaging.process.duration")
    assert None is on.capture.metric("pipeline.end_to_end.duration")


async def test_tasks_that_a_handler_starts_always_belong_to_its_record(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic, 2)
    go_on = asyncio.Event()

    async def handle(name: str) -> None:
        await go_on.wait()
        await send(producer, name)

    async def receive() -> None:
        tasks = []
        for number in range(2):
            await consumer.getone()
            tasks.append(asyncio.create_task(handle(f"{topic}-{number}")))
        go_on.set()
        await asyncio.gather(*tasks)

    await a_task(receive())

    assert (
        "send T PRODUCER\n  process T CONSUMER\n    send T-0 PRODUCER\n"
        "send T PRODUCER\n  process T CONSUMER\n    send T-1 PRODUCER"
    ) == tree(on.capture, topic)


async def test_a_worker_started_while_a_record_is_handled_has_its_own_flows(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic, 3)

    async def work() -> None:
        for _ in range(2):
            await consumer.getone()
            await send(producer, f"{topic}-out")

    async def start() -> None:
        await consumer.getone()
        await a_task(work())
        await send(producer, f"{topic}-first")

    await a_task(start())

    one = "send T PRODUCER\n  process T CONSUMER\n    send T-{} PRODUCER"
    assert "\n".join(map(one.format, ("first", "out", "out"))) == tree(
        on.capture, topic, links=True
    )


@pytest.mark.parametrize("number", [1, 3])
async def test_getmany_is_a_batch_with_links_and_the_oldest_origin(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str, number: int
) -> None:
    for each in range(number):
        await send(producer, topic)
        await asyncio.sleep(0.002 * each)  # apart, by the clock of origins
    flows: list[str] = []
    seen = []

    async def batch() -> None:
        while len(flows) < number:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                flows.extend(dict(record.headers)["baggage"].decode() for record in records)
            seen.append(baggage.get_baggage("pipeline.origin"))
        await send(producer, f"{topic}-out")
        await consumer.getmany()
        await send(producer, f"{topic}-after")

    # What was sent comes at once, since the broker had it before.
    await eventually(lambda: _end(consumer, topic, number))
    await consumer.seek_to_beginning()
    await a_task(batch())

    spans = {span.name: span for span in on.capture.spans()}
    process = spans[f"process {topic}"]
    assert min(flow.partition("pipeline.origin=")[2] for flow in flows) == seen[0]
    assert process.context is not None
    assert process.attributes is not None
    assert number == process.attributes["messaging.batch.message_count"]
    assert number + 1 == len(process.links), "the messages, and the poll"
    assert spans[f"send {topic}-out"].parent == process.context
    assert None is spans[f"send {topic}-after"].parent


async def _end(consumer: Any, topic: str, number: int) -> bool:
    (partition,) = consumer.assignment()
    ends: dict[Any, int] = await consumer.end_offsets([partition])
    return number <= ends[partition]


async def test_stopping_a_consumer_ends_its_handlings_in_all_tasks(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic, 2)
    received, over = asyncio.Semaphore(0), asyncio.Event()

    async def handle() -> bool:
        await consumer.getone()
        received.release()
        await over.wait()
        return current_processing() is not None

    tasks = [asyncio.create_task(handle()) for _ in range(2)]
    for _ in tasks:
        await received.acquire()
    await consumer.stop()

    one = "send T PRODUCER\n  process T CONSUMER pipeline.outcome=ok"
    assert f"{one}\n{one}" == tree(on.capture, topic, "pipeline.outcome")
    over.set()
    assert [True, True] == await asyncio.gather(*tasks), "a task's context is its own"


async def test_stopping_a_consumer_because_of_an_error_fails_its_handlings(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic)

    async def fail() -> None:
        try:
            await consumer.getone()
            raise ValueError("no")
        finally:
            await consumer.stop()

    with pytest.raises(ValueError, match="no"):
        await a_task(fail())

    assert "error.type=ValueError" in tree(on.capture, topic, "error.type")


async def test_a_commit_during_an_error_ends_a_failed_handling(
    on: ZeroCodeRun, producer: Any, in_group: Any, topic: str
) -> None:
    await send(producer, topic, 2)

    async def handle() -> None:
        await in_group.getone()
        try:
            _fail()
        except ValueError:
            await in_group.commit()
        await in_group.getone()
        await in_group.commit()

    await a_task(handle())

    assert (
        "send T PRODUCER\n  process T CONSUMER ERROR pipeline.outcome=error error.type=ValueError\n"
        "send T PRODUCER\n  process T CONSUMER pipeline.outcome=ok"
    ) == tree(on.capture, topic, "pipeline.outcome", "error.type")


def _fail() -> None:
    raise ValueError("no")


async def test_an_error_from_before_a_record_was_received_is_not_that_of_its_handling(
    on: ZeroCodeRun, producer: Any, in_group: Any, topic: str
) -> None:
    await send(producer, topic, 2)

    async def handle() -> None:
        try:
            _fail()
        except ValueError:
            await in_group.getone()
            await in_group.commit()
            await in_group.getone()
            await in_group.stop()

    await a_task(handle())

    one = "send T PRODUCER\n  process T CONSUMER pipeline.outcome=ok"
    assert f"{one}\n{one}" == tree(on.capture, topic, "pipeline.outcome")


async def test_switching_zero_code_off_ends_open_handlings(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic, 2)

    async def handle() -> None:
        before = get_current()
        await consumer.getone()
        on.off()
        assert before is get_current()
        await consumer.getone()
        assert before is get_current()

    await a_task(handle())

    assert "send T PRODUCER\n  process T CONSUMER\nsend T PRODUCER" == tree(on.capture, topic)


@pytest.mark.parametrize("by", ["variable", "option"])
async def test_poll_loops_can_be_switched_off(
    zero_code: ZeroCodeRun,
    producer: Any,
    consumer: Any,
    topic: str,
    by: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if by == "variable":
        monkeypatch.setenv(POLL_LOOPS_VARIABLE, "off")
    zero_code.on(**({"poll_loops": False} if by == "option" else {}))
    await send(producer, topic, 2)
    before = get_current()

    await consumer.getone()
    assert before is get_current()
    await consumer.getmany(timeout_ms=1000)
    assert before is get_current()

    assert "process" not in zero_code.capture.tree()
    assert 2 == zero_code.capture.metric("messaging.client.consumed.messages")


async def test_a_context_that_the_program_attached_is_left_alone(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic, 4)
    tracer = on.capture.tracer_provider.get_tracer("program")

    async def handle() -> None:
        before = get_current()
        for _ in range(2):
            with tracer.start_as_current_span("around"):
                await consumer.getone()
            assert before is get_current()
        await consumer.getone()
        with tracer.start_as_current_span("within") as within:
            await consumer.getone()
        assert trace.get_current_span() is not within
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await consumer.getone()
        assert before is get_current()

    await a_task(handle())


async def test_getone_within_the_body_of_async_for_lies_within_it(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str, embedded_servers: str
) -> None:
    await send(producer, topic, 2)
    await send(producer, f"{topic}-side", 3)
    options = consumer_options(embedded_servers) | {"group_id": None}

    async def handle(side: Any) -> None:
        before = get_current()
        await side.getone()
        number = 0
        async for _ in consumer:
            assert f"process {topic}" == _name()
            await side.getone()
            assert f"process {topic}-side" == _name()
            number += 1
            if number == 2:
                break
        assert before is get_current()

    async with BareConsumer(f"{topic}-side", **options) as side:
        await a_task(handle(side))

    assert 5 == tree(on.capture, topic).count("process")


def _name() -> str:
    return str(getattr(trace.get_current_span(), "name", None))


async def test_ended_tasks_are_freed(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic, 20)
    tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    async def handle() -> None:
        await consumer.getone()
        await asyncio.sleep(0)

    async def use() -> None:
        for _ in range(20):
            task = asyncio.create_task(handle())
            tasks.add(task)
            await task

    await use()

    def gone() -> bool:
        gc.collect()
        return not tasks

    await eventually(gone)
    assert 20 == tree(on.capture, topic).count("process")


async def test_a_chain_of_tasks_keeps_no_references_to_earlier_tasks(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic, 20)
    tracer = on.capture.tracer_provider.get_tracer("program")
    contexts: list[weakref.ref[Any]] = []  # a dictionary is in no set
    alive: list[int] = []
    over = asyncio.Event()

    async def work(number: int) -> None:
        await consumer.getone()
        contexts.append(weakref.ref(get_current()))
        if number == 20:
            on.capture.clear()
            gc.collect()
            alive.append(sum(context() is not None for context in contexts))
            over.set()
            return
        with tracer.start_as_current_span("within"):
            asyncio.create_task(work(number + 1))  # noqa: RUF006 - it ends before the test

    await a_task(work(1))
    await over.wait()

    assert alive[0] <= 3


async def test_a_task_continues_when_zero_code_is_switched_on_again(
    on: ZeroCodeRun, producer: Any, consumer: Any, topic: str
) -> None:
    await send(producer, topic, 2)

    async def handle() -> None:
        await consumer.getone()
        on.off()
        on.on()
        await consumer.getone()
        await send(producer, f"{topic}-out")
        await consumer.stop()
        assert "send T-out" in tree(on.capture, topic)
        assert 2 == tree(on.capture, topic).count("process")

    await a_task(handle())


async def test_a_forgotten_consumer_is_freed_while_its_last_record_is_handled(
    on: ZeroCodeRun, producer: Any, topic: str, embedded_servers: str
) -> None:
    options = consumer_options(embedded_servers) | {"group_id": None}
    await send(producer, topic)

    async def receive() -> weakref.ref[Any]:
        consumer = BareConsumer(topic, **options)
        await consumer.start()
        await consumer.getone()
        # By aiokafka's own, so that nothing of ours sees it.
        await BareConsumer.stop.__wrapped__.__wrapped__(consumer)
        return weakref.ref(consumer)

    async def handle() -> None:
        forgotten = await receive()

        def gone() -> bool:
            gc.collect()
            return forgotten() is None

        await eventually(gone)

    await a_task(handle())

    assert 1 == tree(on.capture, topic).count("process")


class FrameworkLikeSubscriber:
    """What FastStream does: a task that gets, calls the handler, publishes its reply, commits."""

    def __init__(self, consumer: Any, handler: Any, publish: Any) -> None:
        self._consumer = consumer
        self._handler = handler
        self._publish = publish

    async def run(self) -> None:
        connected = True
        while connected:
            record = await self._consumer.getone()
            reply = await self._handler(record)
            if reply is not None:
                await self._publish(reply)
            await self._consumer.commit()
            connected = record.value != b"1"


async def test_the_handlers_of_a_framework_get_their_spans(
    on: ZeroCodeRun, producer: Any, in_group: Any, topic: str
) -> None:
    tracer = on.capture.tracer_provider.get_tracer("program")
    await send(producer, topic, 2)

    async def handler(record: Any) -> bytes:
        with tracer.start_as_current_span("work"):
            await asyncio.sleep(0)
        return bytes(record.value)

    async def publish(reply: bytes) -> None:
        await producer.send_and_wait(f"{topic}-out", reply)

    await a_task(FrameworkLikeSubscriber(in_group, handler, publish).run())

    one = "send T PRODUCER\n  process T CONSUMER\n    work INTERNAL\n    send T-out PRODUCER"
    assert f"{one}\n{one}" == tree(on.capture, topic)
