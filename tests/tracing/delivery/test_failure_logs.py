"""Ordinary logs: failed attempts within bounds, each dead letter, start and end of the loop."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

import tracing
from tests.tracing.delivery.giving_up import NOW, given_up
from tests.tracing.messaging.test_current import BrokenFilter, BrokenHandler
from tracing import DeadLetters, Retry, cloudevent
from tracing.delivery import failure_log
from tracing.kafka.transport import KAFKA, partition_names
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _InMemory
    from tracing.testing import Capture


def lines(caplog: pytest.LogCaptureFixture, logger: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == logger]


async def decline(_record: Any) -> None:
    raise ValueError("card 4111 1111 declined")


async def test_each_failed_attempt_is_a_warning_and_the_dead_letter_an_error(
    clients: Clients, capture: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    sent = await producer.send_and_wait(
        topic, b"v", partition=2, headers=cloudevent(type="OrderPlaced", id="e-1")
    )

    await given_up(clients, topic, handler=decline)

    process = next(span for span in capture.spans() if span.name == f"process {topic}")
    context = process.get_span_context()
    assert context is not None
    facts = {
        "topic": topic,
        "partition": 2,
        "offset": sent.offset,
        "group": "shipping",
        "event_id": "e-1",
        "error_type": "ValueError",
        "trace_id": f"{context.trace_id:032x}",
    }
    attempts = lines(caplog, "tracing.attempts")
    (letter,) = lines(caplog, "tracing.dead_letters")
    for line in (*attempts, letter):
        assert facts == {name: line.__dict__[name] for name in facts}
        assert line.__dict__["error_origin"].endswith("in decline")
    assert [(1, 3), (2, 3), (3, 3)] == [
        (line.__dict__["attempt"], line.__dict__["attempts"]) for line in attempts
    ]
    assert ["WARNING"] * 3 == [line.levelname for line in attempts]
    assert ("ERROR", 3, f"{topic}.shipping.dlq") == (
        letter.levelname,
        letter.__dict__["attempts"],
        letter.__dict__["dead_letter_topic"],
    )
    place = f"{topic}[2] offset {sent.offset}"
    for line in attempts:
        assert f"at {place} failed with ValueError" in line.message
    assert f"{place} is now a dead letter in {topic}.shipping.dlq" in letter.message
    for line in (*attempts, letter):
        assert f"[group shipping, event e-1, trace {context.trace_id:032x}]" in line.message


async def test_log_lines_contain_neither_messages_nor_payloads(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await memory.topic()
    await (await memory.producer()).send_and_wait(topic, b"payload-1", b"key-1", partition=0)

    with caplog.at_level(logging.DEBUG):
        await given_up(memory, topic, handler=decline)

    assert lines(caplog, "tracing.dead_letters")
    for record in caplog.records:
        whole = f"{record.getMessage()} {record.__dict__}"
        if record.name.startswith("tracing"):
            assert "4111 1111" not in whole
            assert "payload-1" not in whole
            assert "key-1" not in whole


async def test_redacted_messages_are_in_the_log_lines(
    memory: _InMemory, capture: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    memory.telemetry = tracing.Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        redact=lambda message: message.replace("4111 1111", "****"),
    )
    topic = await memory.topic_with_a_record()

    await given_up(memory, topic, handler=decline)

    (letter,) = lines(caplog, "tracing.dead_letters")
    assert "card **** declined" == letter.__dict__["error_message"]
    assert ": card **** declined" in letter.message
    assert "4111 1111" not in caplog.text


async def test_names_from_records_cannot_forge_a_line(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    forged = "e-1\nERROR forged\x1b[2J\u2028\u202e"
    await producer.send_and_wait(topic, b"v", headers=cloudevent(type="X", id=forged))

    class ForgedError(Exception):
        pass

    ForgedError.__qualname__ = "Forged\nERROR\x9b"

    async def handler(_record: Any) -> None:
        raise ForgedError

    await given_up(memory, topic, handler=handler)

    found = lines(caplog, "tracing.attempts") + lines(caplog, "tracing.dead_letters")
    assert len(found) == 4
    for line in found:
        assert line.message.isprintable()
        assert line.__dict__["event_id"].isprintable()
        assert line.__dict__["error_type"].isprintable()


async def consume_until(
    memory: _InMemory, topic: str, handler: Any, *, done: Any, **options: Any
) -> None:
    consumer = await memory.consumer(topic, group="shipping")
    stop = asyncio.Event()
    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop, **options))
    try:
        assert await eventually(lambda: done() or loop.done(), timeout_s=20)
    finally:
        stop.set()
        await loop
        await consumer.stop()


async def test_log_lines_of_one_kind_of_failure_are_bounded_and_the_omitted_ones_are_counted(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await memory.topic_with_a_record()
    calls = 0

    async def handler(_record: Any) -> None:
        nonlocal calls
        calls += 1
        if calls <= 50:
            raise ConnectionError("away")

    await consume_until(
        memory, topic, handler, done=lambda: calls > 50, retry=Retry(attempts=60, delay_s=0)
    )

    found = lines(caplog, "tracing.attempts")
    assert failure_log.MAX_LINES + 1 == len(found)
    assert 40 == found[-1].__dict__["left_out"]
    assert "40 more attempts at records of orders failed with ConnectionError" in found[-1].message


async def test_the_next_line_after_the_interval_counts_the_omitted_ones(
    memory: _InMemory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(failure_log, "monotonic", lambda: now)
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic)
    record = await consumer.getone()
    log = failure_log.AttemptLog(memory.telemetry, KAFKA, "shipping")

    def fail(number: int) -> None:
        for _ in range(number):
            log.failed(record, ValueError(), attempt=1, attempts=3, then="and so on")

    fail(failure_log.MAX_LINES + 7)
    now = failure_log.PERIOD_S
    fail(1)
    log.close()

    found = lines(caplog, "tracing.attempts")
    assert failure_log.MAX_LINES + 1 == len(found)
    assert 7 == found[-1].__dict__["left_out"]
    assert "(7 more like it were not logged)" in found[-1].message


async def test_an_unbounded_number_of_error_types_shares_its_lines(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic)
    record = await consumer.getone()
    log = failure_log.AttemptLog(memory.telemetry, KAFKA, "shipping")

    for number in range(1000):
        error = type(f"Error{number}", (Exception,), {})()
        log.failed(record, error, attempt=1, attempts=3, then="and so on")
    log.close()

    found = lines(caplog, "tracing.attempts")
    assert len(found) < 64
    assert 1000 == sum(
        record.__dict__["left_out"] + ("attempt" in record.__dict__) for record in found
    )


async def test_an_unbounded_number_of_topics_shares_its_lines(
    memory: _InMemory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(failure_log, "monotonic", lambda: now)
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic)
    record = await consumer.getone()
    log = failure_log.AttemptLog(memory.telemetry, KAFKA, "shipping")

    def fail_everywhere() -> None:
        for number in range(3000):
            log.failed(
                replace(record, topic=f"orders-{number}"),
                ValueError(),
                attempt=1,
                attempts=3,
                then="and so on",
            )

    for _ in range(3):
        fail_everywhere()
    first = len(lines(caplog, "tracing.attempts"))
    now = 2 * failure_log.PERIOD_S
    fail_everywhere()
    log.close()

    assert 3 * 1000 + failure_log.MAX_LINES == first
    assert 12_000 == sum(
        record.__dict__["left_out"] + ("attempt" in record.__dict__)
        for record in lines(caplog, "tracing.attempts")
    )


async def test_disabled_log_lines_cost_no_preparation(memory: _InMemory) -> None:
    redacted: list[str] = []

    def redact(message: str) -> str:
        redacted.append(message)
        return ""

    memory.telemetry = tracing.Telemetry("orders", redact=redact)
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic)
    record = await consumer.getone()
    logger = logging.getLogger("tracing")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        failure_log.AttemptLog(memory.telemetry, KAFKA, None).failed(
            record, ValueError("card 4111"), attempt=1, attempts=3, then="and so on"
        )
    finally:
        logger.setLevel(level)

    assert [] == redacted


@pytest.mark.parametrize("what", ["handler", "filter"])
async def test_a_log_handler_that_raises_changes_nothing_for_the_records(
    memory: _InMemory, what: str
) -> None:
    topic = await memory.topic_with_a_record()
    broken: logging.Handler = BrokenHandler()
    if what == "filter":
        broken = logging.StreamHandler()
        broken.addFilter(BrokenFilter())
    logger = logging.getLogger("tracing")
    level = logger.level
    logger.addHandler(broken)
    logger.setLevel(logging.DEBUG)
    try:
        (letter,) = await given_up(memory, topic, handler=decline)
    finally:
        logger.setLevel(level)
        logger.removeHandler(broken)

    assert b"v" == letter.value


async def test_the_loop_logs_its_life_and_which_partitions_it_has(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await clients.topic()
    stop = asyncio.Event()

    async def handler(_record: Any) -> None:
        pass

    with caplog.at_level(logging.INFO, "tracing"):
        consumer = await clients.consumer(topic, group="shipping")
        loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop))
        assert await eventually(lambda: lines(caplog, "tracing.consume"))
        other = await clients.consumer(topic, group="shipping")
        assert await eventually(
            lambda: any("partitions came" in message for message in caplog.messages), timeout_s=60
        )
        stop.set()
        await loop
        await other.stop()

    found = lines(caplog, "tracing.consume")
    messages = [record.message for record in found]
    assert f"consuming starts with {topic}[0-3] (group shipping)" == messages[0]
    assert f"partitions go: {topic}[0-3] (group shipping)" == messages[1]
    assert messages[2].startswith("partitions came: ")
    assert messages[-1].startswith("consuming has ended; it had ")
    assert {("INFO", "shipping")} == {
        (record.levelname, record.__dict__["group"]) for record in found
    }
    assert f"{topic}[0-3]" == found[0].__dict__["partitions"]


async def test_a_loop_that_ends_with_an_error_logs_it_without_its_message(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")

    with caplog.at_level(logging.INFO, "tracing"), pytest.raises(ValueError, match="4111"):
        await tracing.consume(consumer, decline)

    last = lines(caplog, "tracing.consume")[-1]
    assert ("ERROR", "ValueError") == (last.levelname, last.__dict__["error_type"])
    assert "consuming ended with ValueError" in last.message
    assert "4111 1111" not in caplog.text


async def test_a_dead_letter_that_the_broker_refuses_is_logged_as_such(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="shipping")
    letters = DeadLetters(await memory.producer())
    memory.broker.fail_next_send(ConnectionError())

    with pytest.raises(ExceptionGroup):
        await tracing.consume(consumer, decline, retry=NOW, dead_letters=letters)

    assert 3 == len(lines(caplog, "tracing.attempts"))
    (line,) = lines(caplog, "tracing.dead_letters")
    assert ("ERROR", "ConnectionError") == (line.levelname, line.__dict__["error_type"])
    assert "orders[0] offset 0 could not be made a dead letter" in line.message


def test_partitions_are_named_in_a_line_however_many_they_are() -> None:
    many = [TopicPartition("orders", number) for number in range(1000)]

    assert "" == partition_names([])
    assert "a[0-1,3] b[7]" == partition_names(
        [
            TopicPartition(topic, number)
            for topic, number in (("b", 7), ("a", 3), ("a", 0), ("a", 1))
        ]
    )
    assert "orders[0-199] and 800 more" == partition_names(many)


async def test_a_loop_without_a_group_logs_that(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic)

    with caplog.at_level(logging.INFO, "tracing"), pytest.raises(ValueError, match="4111"):
        await tracing.consume(consumer, decline)

    messages = [record.message for record in lines(caplog, "tracing.consume")]
    assert ["(no group)", "(no group)"] == [message[-10:] for message in messages]
    (attempt,) = lines(caplog, "tracing.attempts")
    assert attempt.__dict__["group"] is None
    assert "group" not in attempt.message
