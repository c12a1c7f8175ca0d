"""Retries with backoff: in the partition's order, with a span for each attempt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

import tracing
from tracing import Rejected, Retry, Unprocessable
from tracing.messaging.reading import consumer_port
from tracing.testing import HistogramValue, eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.tracing.conftest import Clients, _InMemory
    from tracing.testing import Capture


def count(found: object) -> int:
    assert isinstance(found, HistogramValue)
    return found.count


NOW = Retry(attempts=3, delay_s=0)


async def consumed(
    clients: Clients,
    topic: str,
    handler: Callable[[Any], Awaitable[object]],
    *,
    until: Callable[[], object],
    **options: Any,
) -> dict[int, int]:
    """Consume until something holds; returns the committed offsets by partition."""
    consumer = await clients.consumer(topic, group="shipping")
    stop = asyncio.Event()
    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop, **options))
    try:
        assert await eventually(lambda: until() or loop.done(), timeout_s=20)
    finally:
        stop.set()
        await loop
    offsets = {
        number: await consumer.committed(TopicPartition(topic, number)) for number in range(4)
    }
    # Out of the group, so that the next consumer gets all partitions.
    await consumer.stop()
    return {number: offset for number, offset in offsets.items() if offset is not None}


class Failing:
    """A handler that fails so many times at each record, and remembers all calls."""

    def __init__(self, times: int, error: type[Exception] = ConnectionError) -> None:
        self.calls: list[bytes] = []
        self.handled: list[bytes] = []
        self._times = times
        self._error = error

    async def __call__(self, record: Any) -> None:
        self.calls.append(record.value)
        if self.calls.count(record.value) <= self._times:
            raise self._error("not now")
        self.handled.append(record.value)


async def test_a_record_is_retried_before_later_ones_are_handled(clients: Clients) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    for value in (b"first", b"second"):
        await producer.send_and_wait(topic, value, partition=0)
    handler = Failing(2)

    committed = await consumed(
        clients, topic, handler, until=lambda: len(handler.handled) == 2, retry=NOW
    )

    assert [b"first"] * 3 + [b"second"] * 3 == handler.calls
    assert {0: 2} == committed


async def test_each_further_attempt_is_a_span_below_the_process_span(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    handler = Failing(2)

    await consumed(memory, topic, handler, until=lambda: handler.handled, retry=NOW)

    assert (
        "send orders PRODUCER\n"
        "  process orders CONSUMER\n"
        "    retry orders CONSUMER ERROR\n"
        "    retry orders CONSUMER"
    ) == "\n".join(line for line in capture.tree().splitlines() if "poll" not in line)
    attributes = [dict(span.attributes or {}) for span in capture.spans()]
    process = next(found for found in attributes if "pipeline.attempts" in found)
    first, second = (
        next(found for found in attributes if found.get("pipeline.retry.attempt") == number)
        for number in (2, 3)
    )
    assert ("ok", 3) == (process["pipeline.outcome"], process["pipeline.attempts"])
    assert ("retried", "ConnectionError") == (first["pipeline.outcome"], first["error.type"])
    assert ("ok", "ConnectionError") == (second["pipeline.outcome"], second["pipeline.retry.cause"])


async def test_attempts_are_counted_and_timed_one_by_one(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    handler = Failing(2)

    await consumed(memory, topic, handler, until=lambda: handler.handled, retry=NOW)

    labels = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "shipping"}
    failed = {**labels, "error.type": "ConnectionError"}
    assert 2 == capture.metric("pipeline.retries", failed)
    durations = "messaging.process.duration"
    operation = {"messaging.system.name": "kafka", "messaging.operation.name": "process"}
    assert 2 == count(capture.metric(durations, {**operation, **failed}))
    assert 3 == count(capture.metric(durations, {**operation, **labels}))
    assert 1 == count(capture.metric("pipeline.retry.duration", {**labels, "pipeline": "orders"}))
    assert HistogramValue(1, 3) == capture.metric("pipeline.retry.attempts", labels)


async def test_records_that_needed_one_attempt_have_no_retry_depth(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    handler = Failing(0)

    await consumed(memory, topic, handler, until=lambda: handler.handled, retry=NOW)

    assert capture.metric("pipeline.retry.attempts") is None


async def test_the_retry_counter_exists_before_the_first_retry(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    handler = Failing(0)

    await consumed(memory, topic, handler, until=lambda: handler.handled, retry=NOW)

    labels = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "shipping"}
    assert 0 == capture.metric("pipeline.retries", labels)


async def test_the_handler_sees_the_span_of_its_own_attempt(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    await producer.send_and_wait(topic, b"v", partition=0)
    calls: list[object] = []

    async def handler(_record: Any) -> None:
        calls.append(tracing.current_processing())
        await producer.send_and_wait("elsewhere", b"x", partition=0)
        if len(calls) == 1:
            raise ConnectionError

    await consumed(memory, topic, handler, until=lambda: len(calls) == 2, retry=NOW)

    assert (
        "send orders PRODUCER\n"
        "  process orders CONSUMER\n"
        "    send elsewhere PRODUCER\n"
        "    retry orders CONSUMER\n"
        "      send elsewhere PRODUCER"
    ) == "\n".join(line for line in capture.tree().splitlines() if "poll" not in line)
    assert calls[0] is calls[1] is not None


async def test_other_partitions_continue_while_one_backs_off(clients: Clients) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"bad", partition=0)
    for number in range(20):
        await producer.send_and_wait(topic, b"%d" % number, partition=1)
    handled: list[bytes] = []

    async def handler(record: Any) -> None:
        if record.value == b"bad":
            raise ConnectionError
        handled.append(record.value)

    # One place for all: while the bad record waits, it must not hold it.
    committed = await consumed(
        clients,
        topic,
        handler,
        until=lambda: len(handled) == 20,
        concurrency=1,
        retry=Retry(attempts=2, delay_s=60, max_delay_s=60, jitter=lambda longest: longest),
    )

    assert {1: 20} == committed


async def test_stopping_ends_a_backoff_at_once_and_the_record_comes_back(
    clients: Clients, capture: Capture
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"v", partition=0)
    handler = Failing(1)
    patient = Retry(delay_s=600, max_delay_s=600, jitter=lambda longest: longest)

    first = await consumed(clients, topic, handler, until=lambda: handler.calls, retry=patient)
    second = await consumed(clients, topic, handler, until=lambda: handler.handled, retry=patient)

    assert ({}, {0: 1}) == (first, second)
    stopped = next(span for span in capture.spans() if span.name == f"process {topic}")
    assert "pipeline.outcome" not in (stopped.attributes or {})


async def test_permanent_errors_are_not_retried(memory: _InMemory) -> None:
    topic = await memory.topic_with_a_record()
    handler = Failing(9, Unprocessable)

    with pytest.raises(Unprocessable, match="not now"):
        await consumed(memory, topic, handler, until=lambda: False, retry=NOW)

    assert 1 == len(handler.calls)


async def test_a_rejection_is_not_retried(memory: _InMemory) -> None:
    topic = await memory.topic_with_a_record()
    calls: list[Any] = []

    async def handler(record: Any) -> None:
        calls.append(record)
        raise Rejected("card declined")

    committed = await consumed(memory, topic, handler, until=lambda: calls, retry=NOW)

    assert (1, {0: 1}) == (len(calls), committed)


async def test_a_cancellation_inside_the_handler_counts_as_a_failed_attempt(
    memory: _InMemory,
) -> None:
    topic = await memory.topic_with_a_record()
    calls: list[Any] = []

    async def handler(record: Any) -> None:
        calls.append(record)
        if len(calls) == 1:
            raise asyncio.CancelledError

    assert {0: 1} == await consumed(
        memory, topic, handler, until=lambda: len(calls) == 2, retry=NOW
    )


async def test_a_broken_predicate_counts_the_error_as_permanent(memory: _InMemory) -> None:
    topic = await memory.topic_with_a_record()

    def broken(_error: Exception) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ConnectionError):
        await consumed(
            memory, topic, Failing(1), until=lambda: False, retry=Retry(retryable=broken)
        )


async def test_a_rebalance_waits_for_the_current_attempt_and_not_for_later_ones(
    memory: _InMemory,
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    for number in range(4):
        await producer.send_and_wait(topic, b"%d" % number, partition=number)
    consumer = await memory.consumer(topic, group="shipping")
    revoking, fail, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
    calls: list[bytes] = []

    class Watcher:
        async def revoked(self, partitions: Any) -> None:
            if partitions:
                revoking.set()

        def arriving(self, partitions: Any) -> None:
            """Nothing to do."""

        async def assigned(self, partitions: Any) -> None:
            pass

    port = consumer_port(consumer)
    assert port is not None
    port.observe(Watcher())

    async def handler(record: Any) -> None:
        calls.append(record.value)
        await fail.wait()
        raise ConnectionError

    patient = Retry(attempts=9, delay_s=60, max_delay_s=60, jitter=lambda longest: longest)
    loop = asyncio.create_task(tracing.consume(consumer, handler, retry=patient, stop=stop))
    assert await eventually(lambda: len(calls) == 4)

    joining = asyncio.create_task(memory.consumer(topic, group="shipping"))
    # The second member cannot have its partitions before the first one has let go of them.
    await asyncio.wait_for(revoking.wait(), 10)
    fail.set()
    second = await asyncio.wait_for(joining, 10)
    try:
        assert await eventually(lambda: len(second.assignment()) == 2, timeout_s=10)
    finally:
        stop.set()
        await loop
