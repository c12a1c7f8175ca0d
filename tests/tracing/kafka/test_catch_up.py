"""A group that starts on history is catching up: its old records are in no figure of the flow."""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

import tracing
from tracing.testing import Capture, HistogramValue, eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients
    from tracing import TracedConsumer, TracedProducer

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


async def _metadata(consumer: TracedConsumer, tp: TopicPartition) -> str:
    inside: Any = consumer.wrapped
    group = getattr(inside, "_coordinator", None) or inside._group
    metadata: str = (await group.fetch_committed_offsets([tp]))[tp].metadata
    return metadata
