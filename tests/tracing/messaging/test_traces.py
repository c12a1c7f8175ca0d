"""Span trees, the same on the in-memory double and on a real broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from opentelemetry import baggage
from opentelemetry.sdk.trace import ReadableSpan

import tracing
from tracing.testing import assert_span_tree, eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients
    from tracing import Telemetry
    from tracing.testing import Capture


def named(expected: str, **topics: str) -> str:
    """Put real topic names into an expected tree."""
    for name, real in topics.items():
        expected = expected.replace(f"${name}", real)
    return expected


async def test_a_record_and_what_its_handler_sends_are_one_trace(
    clients: Clients, capture: Capture
) -> None:
    orders, payments = await clients.topic("orders"), await clients.topic("payments")
    producer = await clients.producer()
    consumer = await clients.consumer(orders, group="payment")
    await producer.send_and_wait(orders, b"v", key=b"k")

    async for record in consumer:
        await producer.send_and_wait(payments, record.value, headers=record.headers)
        break
    await consumer.stop()

    assert_span_tree(
        capture.spans(),
        named(
            """
            send $orders PRODUCER
              process $orders CONSUMER
                send $payments PRODUCER
            """,
            orders=orders,
            payments=payments,
        ),
    )


async def test_the_span_of_a_send_covers_the_acknowledgement_and_names_the_place(
    clients: Clients, capture: Capture
) -> None:
    orders = await clients.topic()
    producer = await clients.producer()

    future = await producer.send(orders, b"v", b"k")
    metadata = await future

    span = (await eventually(capture.spans))[0]
    attributes = span.attributes or {}
    assert str(metadata.partition) == attributes["messaging.destination.partition.id"]
    assert metadata.offset == attributes["kafka.offset"]
    assert attributes["messaging.system.name"] == "kafka"
    assert attributes["messaging.operation.type"] == "send"


async def test_polled_records_are_linked_from_the_poll_and_back(
    clients: Clients, capture: Capture
) -> None:
    orders = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(orders, group="g")
    for _ in range(2):
        await producer.send_and_wait(orders, b"v", key=b"same")

    handled = 0
    while handled < 2:
        for batch in (await consumer.getmany(timeout_ms=200)).values():
            for record in batch:
                async with consumer.process(record):
                    handled += 1

    polls = [span for span in capture.spans() if span.name.startswith("poll")]
    sends = [span for span in capture.spans() if span.name.startswith("send")]
    processes = [span for span in capture.spans() if span.name.startswith("process")]
    assert sorted(map(_own_id, sends)) == sorted(_linked_ids(polls))
    assert set(map(_own_id, polls)) == set(_linked_ids(processes))
    assert 2 == sum(
        (poll.attributes or {})["messaging.batch.message_count"]  # type: ignore[misc]  # an int
        for poll in polls
    )


def _own_id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def _linked_ids(spans: list[ReadableSpan]) -> list[int]:
    return [link.context.span_id for span in spans for link in span.links]


async def test_the_flows_name_and_origin_travel_unchanged(
    clients: Clients, capture: Capture
) -> None:
    orders, payments = await clients.topic("orders"), await clients.topic("payments")
    producer = await clients.producer()
    first = await clients.consumer(orders, group="a")
    second = await clients.consumer(payments, group="b")
    await producer.send_and_wait(orders, b"v")

    async for record in first:
        await producer.send_and_wait(payments, record.value)
        break
    async for _ in second:
        assert baggage.get_baggage("pipeline.name") == "orders"
        break
    await second.stop()

    origins = {(span.attributes or {})["pipeline.origin"] for span in capture.spans()}
    assert 1 == len(origins)
    assert {"orders"} == {(span.attributes or {})["pipeline.name"] for span in capture.spans()}


async def test_messages_of_a_batch_have_creation_contexts_of_their_own(
    clients: Clients, capture: Capture
) -> None:
    orders = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(orders, group="g")

    batch = producer.create_batch()
    for value in (b"1", b"2"):
        assert batch.append(timestamp=None, key=b"k", value=value) is not None
    await (await producer.send_batch(batch, orders, partition=1))
    handled = 0
    async for _ in consumer:
        handled += 1
        if handled == 2:
            break
    await consumer.stop()

    assert_span_tree(
        [span for span in capture.spans() if not span.name.startswith("poll")],
        named(
            """
            create $orders PRODUCER
              process $orders CONSUMER
            create $orders PRODUCER
              process $orders CONSUMER
            send $orders CLIENT messaging.batch.message_count=2 ~> create $orders ~> create $orders
            """,
            orders=orders,
        ),
        attributes=["messaging.batch.message_count"],
        links=True,
    )


async def test_a_batch_that_is_never_sent_leaves_no_spans(
    clients: Clients, capture: Capture
) -> None:
    producer = await clients.producer()

    producer.create_batch().append(timestamp=None, key=b"k", value=b"v")

    assert () == capture.spans()


async def test_headers_of_a_forwarded_record_keep_those_of_the_application(
    clients: Clients,
) -> None:
    orders, payments = await clients.topic("orders"), await clients.topic("payments")
    producer = await clients.producer()
    first = await clients.consumer(orders, group="a")
    second = await clients.consumer(payments, group="b")
    mine = [("app", b"1"), ("app", b"2"), ("none", None), ("bytes", b"\xff\xfe")]
    event = tracing.cloudevent(type="OrderPlaced", subject="order-1")
    given: tuple[tuple[str, bytes | None], ...] = (*event, *mine)

    await producer.send_and_wait(orders, b"v", headers=given)
    before = await first.getone()
    async with first.process(before):
        await producer.send_and_wait(payments, b"v", headers=before.headers)
    after = await second.getone()

    names = [name for name, _ in after.headers]
    assert mine == [pair for pair in after.headers if pair[0] in {"app", "none", "bytes"}]
    assert names.count("traceparent") == 1
    assert names.count("baggage") == 1
    assert tracing.CloudEvent.from_headers(before.headers) == tracing.CloudEvent.from_headers(
        after.headers
    )
    assert given == (*event, *mine)


async def test_sent_and_consumed_records_are_counted(clients: Clients, capture: Capture) -> None:
    orders = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(orders, group="g")
    for number in range(10):
        await producer.send(orders, b"v", key=b"%d" % number)
    await producer.flush()
    stop = asyncio.Event()
    handled = 0

    async def handler(_record: object) -> None:
        nonlocal handled
        handled += 1
        if handled == 10:
            stop.set()

    await tracing.consume(consumer, handler, stop=stop)

    where = {"messaging.destination.name": orders}
    by_group = {**where, "messaging.consumer.group.name": "g"}
    assert 10 == capture.metric("messaging.client.sent.messages", where)
    assert 10 == capture.metric("messaging.client.consumed.messages", by_group)
    durations = capture.metric("messaging.process.duration", by_group)
    assert durations is not None
    assert 10 == durations.count  # type: ignore[union-attr]  # of a histogram
    assert 0 == capture.metric("pipeline.telemetry.dropped")
    assert 0 == capture.metric("pipeline.context.invalid")


async def test_nothing_of_a_message_is_on_spans_by_default(
    clients: Clients, capture: Capture
) -> None:
    orders = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(orders, group="g")
    await producer.send_and_wait(orders, b"secret-value", key=b"secret-key")

    with pytest.raises(ValueError, match="secret"):
        async with consumer.process(await consumer.getone()):
            raise ValueError("secret-message")

    assert "secret" not in "".join(span.to_json() for span in capture.spans())


@pytest.mark.parametrize("relation", ["parent", "link", "both"])
async def test_the_relation_to_the_creation_context_can_be_chosen(
    relation: tracing.Relation, clients: Clients, capture: Capture
) -> None:
    orders = await clients.topic()
    clients.telemetry = tracing.Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        relation={orders: relation},
    )
    producer = await clients.producer()
    consumer = await clients.consumer(orders, group="g")
    await producer.send_and_wait(orders, b"v")

    async for _ in consumer:
        break
    await consumer.stop()

    expected = {
        "parent": "send $orders PRODUCER\n  process $orders CONSUMER",
        "link": "send $orders PRODUCER\nprocess $orders CONSUMER ~> send $orders",
        "both": "send $orders PRODUCER\n  process $orders CONSUMER ~> send $orders",
    }[relation]
    assert_span_tree(capture.spans(), named(expected, orders=orders), links=True)


async def test_an_old_message_is_linked_and_starts_a_trace_of_its_own(
    clients: Clients, capture: Capture, telemetry: Telemetry
) -> None:
    orders = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(orders, group="g")
    await producer.send_and_wait(orders, b"v", timestamp_ms=1_600_000_000_000)

    async for _ in consumer:
        break
    await consumer.stop()

    assert 3_600_000 == telemetry.link_after_ms
    assert_span_tree(
        capture.spans(),
        named("send $orders PRODUCER\nprocess $orders CONSUMER ~> send $orders", orders=orders),
        links=True,
    )


async def test_after_a_seek_back_a_record_is_linked_to_the_poll_that_brought_it_last(
    clients: Clients, capture: Capture
) -> None:
    orders = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(orders, group="g")
    await producer.send_and_wait(orders, b"v")

    for _ in range(2):
        while not (polled := await consumer.getmany(timeout_ms=200)):
            pass
        for partition, batch in polled.items():
            async with consumer.process(batch[0]):
                pass
            consumer.seek(partition, 0)

    polls = [span for span in capture.spans() if span.name.startswith("poll")]
    processes = [span for span in capture.spans() if span.name.startswith("process")]
    assert list(map(_own_id, polls)) == _linked_ids(processes)
