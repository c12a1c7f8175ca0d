"""Replayed dead letters are only for the group that failed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka.structs import TopicPartition

import tracing
from tests.tracing.delivery.giving_up import given_up
from tracing import Provenance, Replay
from tracing.messaging.reading import consumer_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.tracing.conftest import Clients, _InMemory
    from tracing import TracedProducer
    from tracing.testing import Capture


async def replayed(
    producer: TracedProducer, topic: str, value: bytes, *, group: str, headers: Sequence[Any] = ()
) -> None:
    """Send what the replay of the first record's dead letter would be."""
    marks = Replay(group=group, id=f"{topic}/0/0").headers()
    # An ordinary send leaves marks out.
    await producer.wrapped.send_and_wait(topic, value, partition=0, headers=[*headers, *marks])


async def test_a_replayed_record_keeps_its_first_failure_and_one_traceparent(
    clients: Clients,
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v", b"k", partition=1, headers=[("mine", b"1")])
    (letter,) = await given_up(clients, topic)
    first = Provenance.from_headers(letter.headers)
    assert first is not None
    replay = Replay(group="shipping", id=f"{topic}/1/{first.offset}")
    kept = [
        header
        for header in letter.headers
        if header[0] == "__pipeline.errors.first_failed_at" or "errors" not in header[0]
    ]
    # As the replay of dead letters does: an ordinary send leaves marks out.
    marked = [*kept, *replay.headers()]
    await producer.wrapped.send_and_wait(topic, b"v", b"k", partition=1, headers=marked)

    second_letter = (await given_up(clients, topic, letters=2))[-1]

    second = Provenance.from_headers(second_letter.headers)
    assert second is not None
    assert first.first_failed_at_ms == second.first_failed_at_ms
    assert second.offset != first.offset
    names = [name for name, _ in second_letter.headers]
    assert (1, 1, 1) == (names.count("traceparent"), names.count("baggage"), names.count("mine"))
    assert replay == Replay.from_headers(second_letter.headers)
    assert sorted(set(names)) == sorted(names)


async def test_replayed_records_of_another_group_are_skipped_and_committed(
    clients: Clients,
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"first", partition=0)
    for group in ("shipping", "payment"):
        await replayed(producer, topic, group.encode(), group=group)
    await producer.send_and_wait(topic, b"last", partition=0)
    consumer = await clients.consumer(topic, group="payment")
    stop = asyncio.Event()
    handled: list[bytes] = []

    async def handler(record: Any) -> None:
        handled.append(record.value)
        if record.value == b"last":
            stop.set()

    # The fixture makes real group names unique; the marks name the one that the test gave.
    port = consumer_port(consumer)
    assert port is not None
    assert "payment" == port.info.group
    await tracing.consume(consumer, handler, stop=stop)

    assert [b"first", b"payment", b"last"] == handled
    assert 4 == await consumer.committed(TopicPartition(topic, 0))


async def test_records_sent_while_handling_a_replay_are_for_every_group(clients: Clients) -> None:
    topic, target = await clients.topic("orders"), await clients.topic("priced")
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v", partition=0)
    failed = [("__pipeline.errors.first_failed_at", b"1000")]
    await replayed(producer, topic, b"v", group="pricing", headers=failed)
    pricing = await clients.consumer(topic, group="pricing")
    await pricing.getone()
    record = await pricing.getone()
    assert not pricing.addressed_elsewhere(record)
    # As services do that hand on whatever headers there are, here with another client.
    await producer.wrapped.send_and_wait(target, b"priced", partition=0, headers=[*record.headers])

    (letter,) = await given_up(clients, target, group="billing")

    found = Provenance.from_headers(letter.headers)
    assert found is not None
    assert found.first_failed_at_ms > 1000


async def test_a_loop_over_the_consumer_skips_replays_too(clients: Clients) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"first", partition=0)
    await replayed(producer, topic, b"not ours", group="shipping")
    await producer.send_and_wait(topic, b"last", partition=0)
    seen = []

    async for record in await clients.consumer(topic, group="payment"):
        seen.append(record.value)
        if record.value == b"last":
            break

    assert [b"first", b"last"] == seen


async def test_a_replayed_record_is_marked_on_its_span(memory: _InMemory, capture: Capture) -> None:
    topic = await memory.topic_with_a_record()
    await replayed(await memory.producer(), topic, b"v", group="shipping")

    consumer = await memory.consumer(topic, group="shipping")
    await consumer.getone()
    async with consumer.process(await consumer.getone()):
        pass

    process = next(span for span in capture.spans() if span.name == "process orders")
    assert "orders/0/0" == (process.attributes or {})["pipeline.replay.id"]
