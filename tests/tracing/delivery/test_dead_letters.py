"""Dead letters: records that fail finally are kept in a topic, and none is lost on the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition

import tracing
from tests.tracing.delivery.giving_up import NOW, dead_letter_topic, fail, given_up
from tracing import DeadLetters, Provenance, TracedProducer, Unprocessable
from tracing.headers.dead_letter import Replay
from tracing.testing import InMemoryConsumer, InMemoryProducer, eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _InMemory
    from tracing.testing import Capture


async def test_a_record_that_fails_finally_becomes_a_dead_letter(clients: Clients) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    sent = await producer.send_and_wait(
        topic, b"v", b"k", partition=2, headers=[("mine", b"1"), ("mine", None), ("bin", b"\xff")]
    )

    (letter,) = await given_up(clients, topic)

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert (b"v", b"k") == (letter.value, letter.key)
    assert (topic, 2, sent.offset, "shipping", 3) == (
        provenance.topic,
        provenance.partition,
        provenance.offset,
        provenance.group,
        provenance.attempts,
    )
    assert ("ConnectionError", "no stock service at 10.0.0.1") == (
        provenance.exception,
        provenance.message,
    )
    assert 0 < provenance.first_failed_at_ms <= provenance.failed_at_ms
    assert provenance.stacktrace is None
    mine = [header for header in letter.headers if header[0] in {"mine", "bin"}]
    assert [("mine", b"1"), ("mine", None), ("bin", b"\xff")] == mine


async def test_the_failed_record_is_committed_once_the_broker_has_the_dead_letter(
    memory: _InMemory,
) -> None:
    topic = await memory.topic()
    await dead_letter_topic(memory, topic, "shipping")
    producer = await memory.producer()
    await producer.send_and_wait(topic, b"v", partition=0)
    consumer = await memory.consumer(topic, group="shipping")
    letters = DeadLetters(await memory.producer())
    stop = asyncio.Event()

    with memory.broker.hold_acks():
        loop = asyncio.create_task(
            tracing.consume(
                consumer, fail, retry=NOW, dead_letters=letters, stop=stop, commit_interval_s=0.01
            )
        )
        assert await eventually(lambda: memory.broker.records("orders.shipping.dlq"))
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert await consumer.committed(TopicPartition(topic, 0)) is None
    try:
        assert await eventually(lambda: committed_is(consumer, TopicPartition(topic, 0), 1))
    finally:
        stop.set()
        await loop


async def committed_is(consumer: Any, tp: TopicPartition, offset: int) -> bool:
    return bool(await consumer.committed(tp) == offset)


async def test_the_dead_letter_is_a_span_below_the_failed_process_span(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()

    (letter,) = await given_up(memory, topic)

    assert (
        "send orders PRODUCER\n"
        "  process orders CONSUMER ERROR\n"
        "    retry orders CONSUMER ERROR\n"
        "    retry orders CONSUMER ERROR\n"
        "    dead_letter orders.shipping.dlq PRODUCER"
    ) == "\n".join(line for line in capture.tree().splitlines() if "poll" not in line)
    process = next(span for span in capture.spans() if span.name == "process orders")
    sent = next(span for span in capture.spans() if span.name.startswith("dead_letter"))
    assert "dead_lettered" == (process.attributes or {})["pipeline.outcome"]
    assert process.end_time
    assert sent.end_time
    assert process.end_time >= sent.end_time
    parents = [value for name, value in letter.headers if name == "traceparent"]
    context = sent.get_span_context()
    assert context is not None
    assert [b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)] == [
        *parents
    ]


async def test_dead_letters_are_counted_by_error(memory: _InMemory, capture: Capture) -> None:
    topic = await memory.topic_with_a_record()
    labels = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "shipping"}

    await given_up(memory, topic)

    error = {**labels, "error.type": "ConnectionError"}
    assert 1 == capture.metric("pipeline.dead_letters", error)
    sent = {"messaging.destination.name": "orders.shipping.dlq"}
    assert 1 == capture.metric("messaging.client.sent.messages", sent)


async def test_a_replayed_record_that_fails_again_counts_apart(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    producer = await memory.producer()
    mark = Replay(group="shipping", id=f"{topic}/0/0").headers()
    # A traced producer takes such marks away.
    await producer.wrapped.send_and_wait(topic, b"v", partition=0, headers=mark)

    await given_up(memory, topic, letters=2)

    labels = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "shipping"}
    assert 1 == capture.metric("pipeline.dead_letters", {**labels, "replayed": "true"})
    assert 2 == capture.metric("pipeline.dead_letters", labels)


async def test_an_unprocessable_record_becomes_a_dead_letter_at_once(clients: Clients) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"\xff", partition=0)
    calls = 0

    async def handler(record: Any) -> None:
        nonlocal calls
        calls += 1
        record.value.decode()

    (letter,) = await given_up(clients, topic, handler=handler)

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert (1, 1, "UnicodeDecodeError") == (calls, provenance.attempts, provenance.exception)


@pytest.mark.parametrize("key", [b"k", None])
async def test_a_tombstone_stays_a_tombstone(clients: Clients, key: bytes | None) -> None:
    topic = await clients.topic()
    bare = (await clients.producer()).wrapped
    batch = bare.create_batch()
    batch.append(timestamp=None, key=key, value=None, headers=[("mine", b"1")])
    await (await bare.send_batch(batch, topic, partition=0))

    (letter,) = await given_up(clients, topic)

    assert (key, None) == (letter.key, letter.value)
    assert ("mine", b"1") in letter.headers


async def test_records_after_a_dead_letter_are_handled(clients: Clients) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    for number in range(6):
        await producer.send_and_wait(topic, b"%d" % number, partition=0)
    handled: list[bytes] = []

    async def handler(record: Any) -> None:
        if int(record.value) % 2:
            raise Unprocessable("odd")
        handled.append(record.value)

    letters = await given_up(clients, topic, handler=handler, letters=3)

    assert [b"1", b"3", b"5"] == sorted(letter.value for letter in letters)
    assert [b"0", b"2", b"4"] == handled


async def test_a_dead_letter_that_cannot_be_sent_raises_with_its_cause_and_nothing_is_committed(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    letters = DeadLetters(await memory.producer())

    memory.broker.fail_next_send(KafkaConnectionError())
    with pytest.raises(ExceptionGroup) as caught:
        await tracing.consume(consumer, fail, retry=NOW, dead_letters=letters)

    assert [ConnectionError, KafkaConnectionError] == [
        type(error) for error in caught.value.exceptions
    ]
    assert await consumer.committed(TopicPartition(topic, 0)) is None
    process = next(span for span in capture.spans() if span.name == "process orders")
    assert "error" == (process.attributes or {})["pipeline.outcome"]
    # And the record comes back, to the very same consumer.
    again: list[Any] = []
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        again.append(record)
        stop.set()

    await tracing.consume(consumer, handler, stop=stop)
    assert [b"v"] == [record.value for record in again]


async def test_messages_are_cut_and_redacted_and_stack_traces_are_optional(
    memory: _InMemory, capture: Capture
) -> None:
    memory.telemetry = tracing.Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        redact=lambda message: message.replace("4111", "****"),
    )
    topic = await memory.topic_with_a_record()

    async def handler(_record: Any) -> None:
        raise ValueError("card 4111 " + "é" * 5000)

    (letter,) = await given_up(memory, topic, handler=handler, stacktraces=True)

    provenance = Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert provenance.message.startswith("card **** é")
    assert len(provenance.message.encode()) <= 1024
    assert provenance.stacktrace is not None
    assert "handler" in provenance.stacktrace
    assert "4111 " not in provenance.stacktrace.replace('"card 4111 "', "")


async def test_a_record_becomes_a_dead_letter_even_if_its_error_cannot_be_described(
    memory: _InMemory, capture: Capture
) -> None:
    class UntellableError(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    def redact(_message: str) -> str:
        raise ZeroDivisionError

    for name, telemetry, raised in (
        ("orders", memory.telemetry, UntellableError()),
        ("payments", tracing.Telemetry("orders", redact=redact), ValueError("card 4111")),
    ):
        memory.telemetry = telemetry
        topic = await memory.topic(name)
        await (await memory.producer()).send_and_wait(topic, b"v", partition=0)

        async def handler(_record: Any, raised: Exception = raised) -> None:
            raise raised

        (letter,) = await given_up(memory, topic, handler=handler)

        provenance = Provenance.from_headers(letter.headers)
        assert provenance is not None
        assert "(message unavailable)" == provenance.message


async def test_a_name_that_no_topic_can_have_is_refused_before_anything_fails(
    memory: _InMemory,
) -> None:
    topic = await memory.topic()
    await (await memory.producer()).send_and_wait(topic, b"v", partition=0)
    consumer = await memory.consumer(topic, group="team:shipping")
    handled: list[Any] = []

    async def handler(record: Any) -> None:
        handled.append(record)

    with pytest.raises(ValueError, match="not a valid name of a topic"):
        await tracing.consume(consumer, handler, dead_letters=DeadLetters(await memory.producer()))
    assert [] == handled


async def test_a_dead_letter_is_sent_even_if_telemetry_fails(
    memory: _InMemory, monkeypatch: pytest.MonkeyPatch, capture: Capture
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    await producer.send_and_wait(topic, b"v", partition=0, headers=[("mine", b"1")])

    def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(memory.telemetry.propagation, "inject", broken)
    (letter,) = await given_up(memory, topic)

    assert ("mine", b"1") in letter.headers
    assert Provenance.from_headers(letter.headers) is not None
    assert 1 == capture.metric("pipeline.telemetry.dropped", {"reason": "dead_letter"})


async def test_clients_that_do_not_fit_are_refused(memory: _InMemory) -> None:
    producer = await memory.producer()
    with pytest.raises(TypeError, match="TracedProducer"):
        DeadLetters(producer.wrapped)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="of different topics and groups one name"):
        DeadLetters(producer, topic="{topic}.dlq")
    with pytest.raises(ValueError, match="alone"):
        DeadLetters(producer, topic="{topic}.{group}.{other}")
    serializing = InMemoryProducer(memory.broker, value_serializer=str.encode)
    with pytest.raises(ValueError, match="value_serializer"):
        DeadLetters(TracedProducer(serializing, memory.telemetry))
    careless = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", acks=0)
    with pytest.raises(ValueError, match="acknowledgements"):
        DeadLetters(TracedProducer(careless, memory.telemetry))
    await careless.stop()
    letters = DeadLetters(producer)
    topic = await memory.topic()
    groupless = await memory.consumer(topic)
    with pytest.raises(ValueError, match="consumer group"):
        await tracing.consume(groupless, fail, dead_letters=letters)
    decoding = InMemoryConsumer(
        topic, broker=memory.broker, group_id="g", value_deserializer=bytes.decode,
        enable_auto_commit=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match="decode in the handler"):
        await tracing.consume(
            tracing.TracedConsumer(decoding, memory.telemetry), fail, dead_letters=letters
        )
