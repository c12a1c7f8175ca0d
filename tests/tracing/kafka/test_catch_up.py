"""A group that starts on history is catching up: its old records are in no figure of the flow."""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

import tracing
from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.testing import (
    Capture,
    HistogramValue,
    InMemoryBroker,
    InMemoryConsumer,
    InMemoryProducer,
    eventually,
)

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients

HOUR_S = 3600
WAIT = "pipeline.wait.duration"
END_TO_END = "pipeline.end_to_end.duration"


@pytest.fixture
def keeps_metadata(request: pytest.FixtureRequest) -> bool:
    """Whether the broker keeps the metadata of offsets, which the embedded one drops."""
    return bool(request.node.callspec.params["clients"] != "embedded")


async def _send(
    producer: TracedProducer, topic: str, number: int, *, age_s: float = HOUR_S, partition: int = 0
) -> None:
    """Send records that are, and whose flows are, as old as that."""
    written_ms = int((time() - age_s) * 1000)
    flow = f"pipeline.name=orders,pipeline.origin={written_ms}".encode()
    for _ in range(number):
        await producer.send_and_wait(
            topic, b"v", partition=partition, timestamp_ms=written_ms, headers=[("baggage", flow)]
        )


async def _handle(consumer: TracedConsumer, number: int) -> list[Any]:
    """Handle and commit so many records with `consume`; return them."""
    handled: list[Any] = []
    stop = asyncio.Event()

    async def handle(record: Any) -> None:
        handled.append(record)
        if len(handled) == number:
            stop.set()

    await tracing.consume(consumer, handle, stop=stop)
    return handled


def _counted(capture: Capture, name: str, topic: str) -> int:
    """Return the number of records in a histogram."""
    found = capture.metric(name, {"messaging.destination.name": topic})
    return found.count if isinstance(found, HistogramValue) else 0


def _in_flow(capture: Capture, topic: str) -> tuple[int, int]:
    return _counted(capture, WAIT, topic), _counted(capture, END_TO_END, topic)


def _history(capture: Capture, topic: str, what: str = "records") -> Any:
    return capture.metric(f"pipeline.catch_up.{what}", {"messaging.destination.name": topic})


async def test_old_records_of_a_new_group_are_counted_as_catch_up_alone(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    await _send(await clients.producer(), topic, 30)

    await _handle(await clients.consumer(topic, group="late"), 30)

    assert (0, 0) == _in_flow(capture, topic)
    assert (30, 0) == (_history(capture, topic), _history(capture, topic, "remaining"))
    assert 30 == _counted(capture, "messaging.process.duration", topic)
    marks = [
        (span.attributes or {}).get("pipeline.catch_up")
        for span in capture.spans()
        if span.name.startswith("process")
    ]
    assert [True] * 30 == marks


async def test_records_that_arrive_after_the_start_count_as_usual(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await _send(producer, topic, 3)
    consumer = await clients.consumer(topic, group="late")
    handling = asyncio.create_task(_handle(consumer, 5))
    await eventually(lambda: _history(capture, topic) == 3)

    await _send(producer, topic, 2, age_s=0)
    await handling

    assert ((2, 2), 3) == (_in_flow(capture, topic), _history(capture, topic))


async def test_old_records_behind_a_committed_offset_are_lag_of_the_flow(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await _send(producer, topic, 1, age_s=0)
    before = await clients.consumer(topic, group="away")
    await _handle(before, 1)
    await before.stop()
    await _send(producer, topic, 20)
    capture.clear()

    await _handle(await clients.consumer(topic, group="away"), 20)

    assert ((20, 20), 0) == (_in_flow(capture, topic), _history(capture, topic))


async def test_the_next_member_of_a_group_goes_on_catching_up(
    clients: Clients, capture: Capture, keeps_metadata: bool
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await _send(producer, topic, 30)
    first = await clients.consumer(topic, group="late", max_poll_records=1)
    handled = len(await _handle(first, 10))
    await first.stop()
    await _send(producer, topic, 1, age_s=HOUR_S - 60)
    capture.clear()

    await _handle(await clients.consumer(topic, group="late"), 31 - handled)

    # The last one arrived after the start, and waited for the group.
    late = 1 if keeps_metadata else 31 - handled
    assert ((late, late), 31 - handled - late) == (
        _in_flow(capture, topic),
        _history(capture, topic),
    )


async def test_what_a_handler_of_history_sends_begins_a_new_flow(
    clients: Clients, capture: Capture
) -> None:
    topic, out = await clients.topic(), await clients.topic("out")
    producer = await clients.producer()
    await _send(producer, topic, 1)
    consumer = await clients.consumer(topic, group="late")
    async with consumer.process(await consumer.getone()):
        await producer.send_and_wait(out, b"v")
    behind = await clients.consumer(out, group="behind")
    async with behind.process(await behind.getone()):
        pass

    found = capture.metric(END_TO_END, {"messaging.destination.name": out})
    assert isinstance(found, HistogramValue)
    assert (1, True) == (found.count, found.sum < 60)


@pytest.mark.parametrize("way", ["async for", "getone", "getmany", "process_batch"])
async def test_every_way_to_handle_records_knows_history(
    clients: Clients, capture: Capture, way: str
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await _send(producer, topic, 3)
    await _send(producer, topic, 1, age_s=-0.001)
    consumer = await clients.consumer(topic, group="late")

    handled = 0
    if way == "async for":
        async for _ in consumer:
            handled += 1
            if handled == 4:
                break
    while handled < 4:
        if way == "getone":
            async with consumer.process(await consumer.getone()):
                handled += 1
            continue
        batches = (await consumer.getmany(timeout_ms=1000)).values()
        records = [record for batch in batches for record in batch]
        handled += len(records)
        if way == "process_batch":
            async with consumer.process_batch(records):
                pass
            continue
        for record in records:
            async with consumer.process(record):
                pass
    await consumer.stop()

    assert ((0, 0), 4) == (_in_flow(capture, topic), _history(capture, topic))


async def test_metadata_of_an_application_stays(clients: Clients, keeps_metadata: bool) -> None:
    topic = await clients.topic()
    await _send(await clients.producer(), topic, 3)
    consumer = await clients.consumer(topic, group="late")
    async with consumer.process(await consumer.getone()):
        pass
    tp = TopicPartition(topic, 0)

    found = []
    for offsets in ({tp: (1, "mine")}, {tp: 1}, None, {tp: 3}):
        await consumer.commit(offsets)
        found.append(await _metadata(consumer, tp))

    ours = "pipeline.catch_up=3"
    assert (["mine", ours, ours, ""] if keeps_metadata else [""] * 4) == found


async def test_a_commit_of_a_subclass_gets_the_offsets_of_the_application(
    telemetry: Telemetry,
) -> None:
    broker, commits = InMemoryBroker(), []

    class PlainOffsets(InMemoryConsumer):
        async def commit(self, offsets: Any = None) -> None:
            commits.append(offsets and {tp.partition: int(at) for tp, at in offsets.items()})
            await super().commit(offsets)

    bare = PlainOffsets(
        "orders",
        broker=broker,
        group_id="late",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with (
        TracedProducer(InMemoryProducer(broker), telemetry) as producer,
        TracedConsumer(bare, telemetry) as consumer,
    ):
        await _send(producer, "orders", 3)
        async with consumer.process(await consumer.getone()):
            pass
        await consumer.commit()
        await _handle(consumer, 1)

    assert [None, {0: 2}] == commits


async def _metadata(consumer: TracedConsumer, tp: TopicPartition) -> str:
    inside: Any = consumer.wrapped
    group = getattr(inside, "_coordinator", None) or inside._group
    metadata: str = (await group.fetch_committed_offsets([tp]))[tp].metadata
    return metadata


async def _committed(clients: Clients, topic: str, group: str, number: int) -> None:
    """Handle and commit so many records as a group that keeps up."""
    consumer = await clients.consumer(topic, group=group)
    await _handle(consumer, number)
    await consumer.stop()


async def _read(consumer: TracedConsumer, number: int) -> None:
    for _ in range(number):
        async with consumer.process(await asyncio.wait_for(consumer.getone(), 20)):
            pass


async def test_what_is_read_again_from_the_beginning_is_history(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    await _send(await clients.producer(), topic, 5)
    await _committed(clients, topic, "again", 5)
    consumer = await clients.consumer(topic, group="again")
    capture.clear()

    await consumer.seek_to_beginning(TopicPartition(topic, 0))
    await _read(consumer, 5)

    assert ((0, 0), 5) == (_in_flow(capture, topic), _history(capture, topic))


@pytest.mark.parametrize(
    ("committed", "sought", "history"),
    [
        pytest.param(4, 0, 5, id="to the first record"),
        pytest.param(4, 1, 3, id="below what the group has committed"),
        pytest.param(2, 3, 0, id="beyond it"),
        pytest.param(0, 2, 0, id="where the application keeps its offsets elsewhere"),
    ],
)
async def test_a_seek_makes_history_of_what_the_group_has_committed(
    clients: Clients, capture: Capture, committed: int, sought: int, history: int
) -> None:
    topic = await clients.topic()
    await _send(await clients.producer(), topic, 5)
    consumer = await clients.consumer(topic, group="seeking")
    tp = TopicPartition(topic, 0)
    if committed:
        await consumer.commit({tp: committed})
        await consumer.stop()
        consumer = await clients.consumer(topic, group="seeking")
    consumer.seek(tp, sought)
    # The answer of the broker decides; what comes before it is in no figure.
    await eventually(lambda: not consumer._catch_ups._asking)

    await _read(consumer, 5 - sought)

    late = 5 - sought - history
    assert ((late, late), history) == (_in_flow(capture, topic), _history(capture, topic) or 0)


async def test_a_consumer_without_a_group_reads_history(clients: Clients, capture: Capture) -> None:
    topic = await clients.topic()
    await _send(await clients.producer(), topic, 3)
    consumer = await clients.consumer(topic)

    await _read(consumer, 3)

    assert ((0, 0), 3) == (_in_flow(capture, topic), _history(capture, topic))


async def test_partitions_that_are_assigned_by_hand_may_be_history(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    await _send(await clients.producer(), topic, 3)
    consumer = await clients.consumer(group="by-hand")
    consumer.assign([TopicPartition(topic, 0)])

    await _read(consumer, 3)

    assert (0, 0) == _in_flow(capture, topic)


async def test_a_group_that_begins_at_the_end_has_no_history(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await _send(producer, topic, 3)
    consumer = await clients.consumer(topic, group="latest", auto_offset_reset="latest")
    for number in range(4):
        await consumer.position(TopicPartition(topic, number))
    await _send(producer, topic, 2, age_s=0)

    await _read(consumer, 2)

    assert ((2, 2), 0) == (_in_flow(capture, topic), _history(capture, topic) or 0)


async def test_a_second_member_goes_on_with_the_partitions_that_it_gets(
    clients: Clients, capture: Capture, keeps_metadata: bool
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    for partition in range(4):
        await _send(producer, topic, 5, partition=partition)
    consumers = [await clients.consumer(topic, group="late", max_poll_records=1)]
    handled: list[tuple[int, int]] = []
    stop, second = asyncio.Event(), asyncio.Event()

    async def handle(record: Any) -> None:
        if record.offset > 1:
            await second.wait()
        handled.append((record.partition, record.offset))
        if len(set(handled)) == 20:
            stop.set()

    loops = [
        asyncio.create_task(tracing.consume(consumers[0], handle, stop=stop, drain_timeout_s=0.1))
    ]
    await eventually(lambda: len(handled) == 8)
    consumers.append(await clients.consumer(topic, group="late"))
    second.set()
    loops.append(asyncio.create_task(tracing.consume(consumers[1], handle, stop=stop)))
    await asyncio.gather(*loops)

    shared = _in_flow(capture, topic)
    assert ((0, 0) if keeps_metadata else shared) == shared
    assert len(_processed(capture)) == shared[0] + _history(capture, topic)


async def test_retries_of_history_are_counted_and_take_no_time_of_the_flow(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    await _send(await clients.producer(), topic, 1)
    stop = asyncio.Event()
    failed: list[Any] = []

    async def handle(record: Any) -> None:
        if not failed:
            failed.append(record)
            raise ConnectionError
        stop.set()

    consumer = await clients.consumer(topic, group="late")
    await tracing.consume(consumer, handle, stop=stop, retry=tracing.Retry(attempts=2, delay_s=0))

    labels = {"messaging.destination.name": topic}
    assert (1, None) == (
        capture.metric("pipeline.retries", labels),
        capture.metric("pipeline.retry.duration", labels),
    )


async def test_a_batch_that_is_tried_again_stays_history(memory: Any, capture: Capture) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    await _send(producer, topic, 2)
    consumer = await memory.consumer(topic, group="late")
    await _send(producer, topic, 1, age_s=-1)
    records = [
        record for batch in (await consumer.getmany(timeout_ms=1000)).values() for record in batch
    ]
    batch = consumer.process_batch(records)
    with pytest.raises(ConnectionError):
        async with batch:
            raise ConnectionError
    async with batch:
        pass

    assert (0, 0) == _in_flow(capture, topic)
    assert {True} == {
        (span.attributes or {}).get("pipeline.catch_up") for span in _processed(capture)
    }


def _processed(capture: Capture) -> list[Any]:
    return [span for span in capture.spans() if span.name.startswith("process")]


async def test_an_error_of_the_broker_leaves_the_records_late_and_is_counted(
    memory: Any, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await memory.topic()
    await _send(await memory.producer(), topic, 2)

    async def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("tracing.testing.group.Group.fetch_committed_offsets", refuse)
    await _read(await memory.consumer(topic, group="late"), 2)

    assert (2, 2) == _in_flow(capture, topic)
    assert 1 == capture.metric("pipeline.telemetry.dropped", {"reason": "catch_up"})


async def test_a_consumer_that_is_stopped_reports_nothing_that_is_left(
    memory: Any, capture: Capture
) -> None:
    topic = await memory.topic()
    await _send(await memory.producer(), topic, 3)
    consumer = await memory.consumer(topic, group="late")
    await _read(consumer, 1)

    assert 2 == _history(capture, topic, "remaining")
    await consumer.stop()
    assert _history(capture, topic, "remaining") is None
    assert 1 == _history(capture, topic)


async def test_two_consumers_of_a_process_report_what_is_left_together(
    memory: Any, capture: Capture
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    for partition in range(4):
        await _send(producer, topic, 3, partition=partition)
    consumers = [await memory.consumer(topic, group="late") for _ in range(2)]
    for consumer in consumers:
        for batch in (await consumer.getmany(timeout_ms=1000)).values():
            async with consumer.process(batch[0]):
                pass

    assert (8, 4) == (_history(capture, topic, "remaining"), _history(capture, topic))
    assert _history(capture, topic, "rate") > 0


async def test_faults_of_order_in_history_are_no_news(capture: Capture) -> None:
    broker = InMemoryBroker()
    broker.create_topic("orders", partitions=2)
    telemetry = Telemetry("orders", meter_provider=capture.meter_provider, order_check=True)
    async with InMemoryProducer(broker) as producer:
        for partition in range(2):
            await producer.send_and_wait(
                "orders", b"v", key=b"user-1", partition=partition, timestamp_ms=1
            )
    bare = InMemoryConsumer("orders", broker=broker, group_id="late", auto_offset_reset="earliest")
    async with TracedConsumer(bare, telemetry) as consumer:
        await _read(consumer, 2)

        assert (2, 0) == (
            capture.metric("pipeline.catch_up.records"),
            capture.metric("pipeline.out_of_order"),
        )
