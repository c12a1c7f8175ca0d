"""The type of a message: on spans, links and metrics, from its headers or from the user."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tests.tracing.delivery.giving_up import given_up
from tests.tracing.messaging.test_traces import named
from tracing import Telemetry, TracedConsumer, TracedProducer, cloudevent
from tracing.testing import (
    Capture,
    InMemoryBroker,
    InMemoryConsumer,
    InMemoryProducer,
    assert_span_tree,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tracing.conftest import Clients

SENT = "messaging.client.sent.messages"
CONSUMED = "messaging.client.consumed.messages"
PROCESSED = "messaging.process.duration"
END_TO_END = "pipeline.end_to_end.duration"
FAILED = ("pipeline.telemetry.dropped", {"reason": "message_type"})


def _count(capture: Capture, metric: str, message_type: str) -> Any:
    value: Any = capture.metric(metric, {"message.type": message_type})
    return getattr(value, "count", value)


def _telemetry(capture: Capture, **options: Any) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        **options,
    )


async def _through(
    telemetry: Telemetry,
    messages: list[tuple[bytes, list[Any]]],
    *,
    sender: Telemetry | None = None,
) -> list[Any]:
    """Send messages in memory, by a traced or a bare producer, and handle them."""
    broker = InMemoryBroker()
    broker.create_topic("orders", partitions=1)
    bare = InMemoryProducer(broker)
    producer: Any = bare if sender is None else TracedProducer(bare, sender)
    reader = InMemoryConsumer("orders", broker=broker, auto_offset_reset="earliest")
    handled: list[Any] = []
    async with producer, TracedConsumer(reader, telemetry, group="g") as consumer:
        for value, headers in messages:
            await producer.send_and_wait("orders", value, headers=headers)
        async for record in consumer:
            handled.append(record)
            if len(handled) == len(messages):
                break
    return handled


async def test_spans_carry_the_type_of_the_message_and_the_tree_shows_it(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic("payment")
    producer = await clients.producer()
    consumer = await clients.consumer(topic, group="shipping")
    for event_type in ("PaymentCharged", "PaymentDeclined"):
        await producer.send_and_wait(topic, b"v", headers=cloudevent(type=event_type), partition=0)
    left = 2
    async for _ in consumer:
        left -= 1
        if not left:
            break
    await consumer.stop()

    assert_span_tree(
        capture.spans(),
        named(
            """
            send $payment · PaymentCharged PRODUCER
              process $payment · PaymentCharged CONSUMER
            send $payment · PaymentDeclined PRODUCER
              process $payment · PaymentDeclined CONSUMER
            """,
            payment=topic,
        ),
        types=True,
    )
    for metric in (SENT, CONSUMED, PROCESSED, END_TO_END):
        assert (metric, 1, 1) == (
            metric,
            _count(capture, metric, "PaymentCharged"),
            _count(capture, metric, "PaymentDeclined"),
        )


@pytest.mark.parametrize("fetch", ["getone", "getmany"])
async def test_a_poll_counts_the_messages_of_each_type(
    clients: Clients, capture: Capture, fetch: str
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(topic, group="g")
    for event_type in ("A", "B", "A"):
        await producer.send_and_wait(topic, b"v", headers=cloudevent(type=event_type))

    seen = 0
    while seen < 3:
        if fetch == "getone":
            await consumer.getone()
            seen += 1
        else:
            seen += sum(map(len, (await consumer.getmany(timeout_ms=1000)).values()))

    assert (2, 1) == (_count(capture, CONSUMED, "A"), _count(capture, CONSUMED, "B"))
    if fetch == "getmany":
        polls = [span for span in capture.spans() if span.name.startswith("poll")]
        links = [link.attributes or {} for span in polls for link in span.links]
        assert ["A", "A", "B"] == sorted(str(link["cloudevents.event_type"]) for link in links)


async def test_the_links_of_a_batch_tell_the_types_of_its_messages_apart(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(topic, group="g")
    for event_type in ("A", "B"):
        await producer.send_and_wait(topic, b"v", headers=cloudevent(type=event_type), partition=0)
    records: list[Any] = []
    while len(records) < 2:
        for batch in (await consumer.getmany(timeout_ms=1000)).values():
            records += batch
    capture.clear()

    async with consumer.process_batch(records):
        pass
    async with consumer.process_batch(records[:1]):
        pass

    mixed, alike = (span for span in capture.spans() if span.name.startswith("process"))
    types = [(link.attributes or {}).get("cloudevents.event_type") for link in mixed.links]
    # The last link is that to the poll.
    assert ["A", "B"] == types[:2]
    assert "cloudevents.event_type" not in (mixed.attributes or {})
    assert "A" == (alike.attributes or {})["cloudevents.event_type"]
    assert 1 == _count(capture, PROCESSED, "A")
    assert 2 == capture.metric(PROCESSED).count  # type: ignore[union-attr]  # a histogram
    assert 2 == _count(capture, END_TO_END, "A")
    assert 1 == _count(capture, END_TO_END, "B")


async def test_a_linked_process_span_has_the_type_on_its_link(capture: Capture) -> None:
    telemetry = _telemetry(capture, relation="link")

    await _through(telemetry, [(b"v", cloudevent(type="A"))], sender=telemetry)

    (span,) = (span for span in capture.spans() if span.name.startswith("process"))
    assert [{"cloudevents.event_type": "A"}] == [dict(link.attributes or {}) for link in span.links]


async def test_a_sent_batch_counts_the_messages_of_each_type(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    batch = producer.create_batch()
    for event_type in ("A", "B", "A"):
        batch.append(timestamp=None, key=None, value=b"v", headers=cloudevent(type=event_type))
    batch.append(timestamp=None, key=None, value=b"v")

    await (await producer.send_batch(batch, topic, partition=0))

    assert (2, 1, 1) == tuple(_count(capture, SENT, each) for each in ("A", "B", "orders"))
    assert 4 == capture.metric(SENT)
    (span,) = (span for span in capture.spans() if span.name.startswith("send"))
    assert ["A", "B", "A", "orders"] == [
        (link.attributes or {})["cloudevents.event_type"] for link in span.links
    ]
    assert "cloudevents.event_type" not in (span.attributes or {})


async def test_retries_and_dead_letters_are_counted_by_type(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v", headers=cloudevent(type="OrderPlaced"))

    await given_up(clients, topic)

    labels = {"message.type": "OrderPlaced", "error.type": "ConnectionError"}
    assert 2 == capture.metric("pipeline.retries", labels)
    assert 1 == capture.metric("pipeline.dead_letters", labels)
    tree = capture.tree(types=True)
    assert f"retry {topic} · OrderPlaced" in tree
    assert f"dead_letter {topic}.shipping.dlq · OrderPlaced" in tree


async def test_metrics_have_types_where_no_span_is_sampled() -> None:
    with Capture(sampler=ALWAYS_OFF) as capture:
        telemetry = _telemetry(capture)

        await _through(telemetry, [(b"v", cloudevent(type="A"))], sender=telemetry)

        assert () == capture.spans()
        counts = [_count(capture, each, "A") for each in (SENT, CONSUMED, PROCESSED, END_TO_END)]
        assert [1, 1, 1, 1] == counts


def _by_body(message: Any) -> str | None:
    kind: str | None = json.loads(message.value).get("kind")
    return kind


async def test_the_user_names_the_type_of_messages_without_cloudevents(capture: Capture) -> None:
    telemetry = _telemetry(capture, message_type=_by_body)

    handled = await _through(telemetry, [(b'{"kind": "A"}', []), (b"{}", [])])

    assert [(), ()] == [tuple(record.headers) for record in handled]
    assert "process orders · A CONSUMER\nprocess orders CONSUMER" == capture.tree(types=True)
    assert (1, 1) == (_count(capture, CONSUMED, "A"), _count(capture, PROCESSED, "A"))


async def test_a_named_type_travels_with_what_is_sent(capture: Capture) -> None:
    sender = _telemetry(capture, message_type=_by_body)

    (record,) = await _through(_telemetry(capture), [(b'{"kind": "A"}', [])], sender=sender)

    assert b"A" == dict(record.headers)["ce_type"]
    assert_span_tree(
        capture.spans(), "send orders · A PRODUCER\n  process orders · A CONSUMER", types=True
    )


async def test_the_receiver_names_the_type_where_the_sender_filled_in_the_topic(
    capture: Capture,
) -> None:
    receiver = _telemetry(capture, message_type=_by_body)
    messages = [(b'{"kind": "A"}', []), (b'{"kind": "A"}', cloudevent(type="B"))]

    await _through(receiver, messages, sender=_telemetry(capture))

    assert_span_tree(
        capture.spans(),
        """
        send orders · orders PRODUCER
          process orders · A CONSUMER
        send orders · B PRODUCER
          process orders · B CONSUMER
        """,
        types=True,
    )


async def test_without_cloudevents_a_named_type_adds_no_header(capture: Capture) -> None:
    sender = _telemetry(capture, message_type=lambda _: b"A", cloudevents=False)

    (record,) = await _through(_telemetry(capture), [(b"v", [])], sender=sender)

    assert {"traceparent", "baggage"} == set(dict(record.headers))
    assert 1 == _count(capture, SENT, "A")


async def _coroutine(_message: Any) -> str:
    return "A"


def _coroutine_of(message: Any) -> Any:
    return _coroutine(message)


def _raises(_message: Any) -> str:
    raise LookupError("private")


@pytest.mark.parametrize(
    "answer",
    [_raises, lambda _: 5, lambda _: "", lambda _: "x" * 129, lambda _: "a\nb", lambda _: b"\xff",
     _coroutine_of, lambda _: "\ud800"],
)  # fmt: skip
async def test_a_function_that_fails_is_counted_and_the_event_flows_on(
    capture: Capture, answer: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = _telemetry(capture, message_type=answer)

    handled = await _through(telemetry, [(b"v", []), (b"v", [])], sender=telemetry)

    assert [b"v", b"v"] == [record.value for record in handled]
    # Twice at the sender, and at delivery and handling each.
    assert 6 == capture.metric(*FAILED)
    assert capture.tree(types=True).startswith("send orders · orders PRODUCER\n  process orders")
    assert caplog.text.count("telemetry of a message_type failed") <= 1
    assert "private" not in caplog.text


def test_a_function_of_the_wrong_kind_is_refused() -> None:
    wrong: Any = _coroutine
    with pytest.raises(TypeError, match="message_type must be a plain function"):
        Telemetry("orders", message_type=wrong)
    with pytest.raises(TypeError, match="message_type must be a function, not str"):
        Telemetry("orders", message_type="A")  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "written", [b"\xff", b"", b"x" * 129, b"a\nb", b"x" * 1_000_000, None, "text", ["odd"]]
)
async def test_a_type_that_is_no_name_counts_as_absent(capture: Capture, written: Any) -> None:
    telemetry = _telemetry(capture)
    broker = InMemoryBroker()
    broker.create_topic("orders", partitions=1)
    record: Any = type("Record", (), {})()
    for name, value in {
        "topic": "orders", "partition": 0, "offset": 0, "timestamp": 0, "key": None, "value": b"v",
        "headers": [("ce_type", b"Earlier"), ("ce_type", written)],
    }.items():  # fmt: skip
        setattr(record, name, value)
    consumer = TracedConsumer(InMemoryConsumer("orders", broker=broker), telemetry, group="g")

    async with consumer.process(record):
        pass

    assert "process orders CONSUMER" == capture.tree(types=True)
    assert (written is not None) == capture.metric(
        "pipeline.context.invalid", {"reason": "ce_type"}
    )


@pytest.mark.parametrize("by_environment", [True, False])
async def test_the_label_can_be_switched_off(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    options: dict[str, Any] = {"message_type_label": False}
    if by_environment:
        monkeypatch.setenv("PIPELINE_TRACING_MESSAGE_TYPE_LABEL", "off")
        options = {}
    telemetry = _telemetry(capture, **options)

    await _through(telemetry, [(b"v", cloudevent(type="A"))], sender=telemetry)

    for metric in (SENT, CONSUMED, PROCESSED, END_TO_END):
        assert (metric, None) == (metric, capture.metric(metric, {"message.type": "A"}))
    assert (1, 1) == (capture.metric(SENT), capture.metric(CONSUMED))
    assert "process orders · A CONSUMER" in capture.tree(types=True)


def test_the_switch_for_the_label_is_a_boolean() -> None:
    with pytest.raises(TypeError, match="message_type_label must be True, False or None, not 1"):
        Telemetry("orders", message_type_label=1)  # type: ignore[arg-type]  # wrong on purpose


async def test_a_thousand_types_share_a_bounded_number_of_series(capture: Capture) -> None:
    telemetry = _telemetry(capture)
    messages = [(b"v", cloudevent(type=f"T{number}")) for number in range(1000)]

    await _through(telemetry, messages, sender=telemetry)

    for metric in (SENT, CONSUMED, PROCESSED, END_TO_END):
        assert (metric, 1) == (metric, _count(capture, metric, "T63"))
        assert (metric, None) == (metric, _count(capture, metric, "T64"))
        assert (metric, 1000 - 64) == (metric, _count(capture, metric, "_OTHER"))
    # Spans are not bounded: each has its own type.
    processed = [span for span in capture.spans() if span.name.startswith("process")]
    assert [f"T{number}" for number in range(1000)] == [
        (span.attributes or {})["cloudevents.event_type"] for span in processed
    ]
    sends = [span for span in capture.spans() if span.name.startswith("send")]
    assert "T999" == (sends[-1].attributes or {})["cloudevents.event_type"]


async def test_a_batch_names_its_type_also_if_metrics_do_not(capture: Capture) -> None:
    telemetry = _telemetry(capture)
    messages = [(b"v", cloudevent(type=f"T{number}")) for number in range(66)]
    records = await _through(telemetry, messages, sender=telemetry)
    bare: Any = InMemoryConsumer("orders", broker=InMemoryBroker())
    consumer = TracedConsumer(bare, telemetry)
    capture.clear()

    for batch in (records[64:], records[65:] * 2):
        async with consumer.process_batch(batch):
            pass

    types = [(span.attributes or {}).get("cloudevents.event_type") for span in capture.spans()]
    assert [None, "T65"] == types


async def test_the_bound_holds_for_all_topics_of_a_process_together(capture: Capture) -> None:
    broker = InMemoryBroker()
    producer = TracedProducer(InMemoryProducer(broker), _telemetry(capture))
    other = TracedProducer(InMemoryProducer(broker), _telemetry(capture))
    async with producer, other:
        for number in range(40):
            await producer.send_and_wait("a", b"v", headers=cloudevent(type=f"A{number}"))
            await other.send_and_wait("b", b"v", headers=cloudevent(type=f"B{number}"))

    assert 16 == _count(capture, SENT, "_OTHER")


async def test_the_function_sees_a_message_as_the_application_sends_it(capture: Capture) -> None:
    seen: list[Any] = []

    def spy(message: Any) -> str:
        seen.append((message.topic, message.key, message.value, list(message.headers)))
        return "A"

    telemetry = _telemetry(capture, message_type=spy)
    producer = TracedProducer(InMemoryProducer(InMemoryBroker()), telemetry)
    async with producer:
        await producer.send_and_wait("orders", b"v", b"k", headers=[("mine", b"1")])

    assert [("orders", b"k", b"v", [("mine", b"1")])] == seen


KINDS: Any = {r".*\.commands": "command", r".*\.events": "event", "odd.commands": "event"}


async def test_the_declared_kind_is_on_spans_and_on_the_metrics_of_the_map(
    capture: Capture,
) -> None:
    telemetry = _telemetry(capture, message_kinds=KINDS)
    broker = InMemoryBroker()
    producer = TracedProducer(InMemoryProducer(broker), telemetry)
    topics = ("pay.commands", "pay.events", "odd.commands", "pay")
    for topic in topics:
        broker.create_topic(topic, partitions=1)
    reader = InMemoryConsumer(*topics, broker=broker, auto_offset_reset="earliest")
    async with producer, TracedConsumer(reader, telemetry, group="g") as consumer:
        for topic in topics:
            await producer.send_and_wait(topic, b"v", headers=cloudevent(type="A"))
        left = len(topics)
        async for _ in consumer:
            left -= 1
            if not left:
                break

    assert_span_tree(
        capture.spans(),
        """
        send pay.commands PRODUCER pipeline.message.kind=command
          process pay.commands CONSUMER pipeline.message.kind=command
        send pay.events PRODUCER pipeline.message.kind=event
          process pay.events CONSUMER pipeline.message.kind=event
        send odd.commands PRODUCER pipeline.message.kind=event
          process odd.commands CONSUMER pipeline.message.kind=event
        send pay PRODUCER
          process pay CONSUMER
        """,
        attributes=["pipeline.message.kind"],
    )
    for metric in (SENT, CONSUMED):
        assert (1, 2, 4) == (
            capture.metric(metric, {"message.kind": "command"}),
            capture.metric(metric, {"message.kind": "event"}),
            capture.metric(metric),
        )


async def test_batches_have_the_kind_of_their_topic(clients: Clients, capture: Capture) -> None:
    telemetry = _telemetry(capture, message_kinds={".*": "command"})
    clients.telemetry = telemetry
    topic = await clients.topic()
    producer = await clients.producer()
    consumer = await clients.consumer(topic, group="g")
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=b"v")
    await (await producer.send_batch(batch, topic, partition=0))
    records: list[Any] = []
    while not records:
        for found in (await consumer.getmany(timeout_ms=1000)).values():
            records += found
    async with consumer.process_batch(records):
        pass

    kinds = {
        span.name.partition(" ")[0]: (span.attributes or {}).get("pipeline.message.kind")
        for span in capture.spans()
    }
    assert {"create": "command", "send": "command", "poll": None, "process": "command"} == kinds


def test_a_kind_that_is_none_is_refused() -> None:
    wrong: Any = {"orders": "query"}
    with pytest.raises(ValueError, match=r"message_kinds\['orders'\] must be 'event' or 'command'"):
        Telemetry("orders", message_kinds=wrong)
    with pytest.raises(ValueError, match=r"'\*.commands' is neither a topic nor a regular"):
        Telemetry("orders", message_kinds={"*.commands": "command"})
    encoded: Any = {b"orders": "event"}
    with pytest.raises(TypeError, match="must be a str, not bytes"):
        Telemetry("orders", message_kinds=encoded)
