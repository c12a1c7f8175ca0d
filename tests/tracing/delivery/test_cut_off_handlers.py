"""A handler that outlives its cancellation: its result is ignored, no later record is handled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.structs import TopicPartition

import tracing
from tracing import DeadLetters, Retry
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _InMemory


class Stubborn:
    """Goes on when it is cancelled at the first record, until it is released."""

    def __init__(self, error: Exception | None = None) -> None:
        self.began: list[int] = []
        self.ended: list[int] = []
        self.in_progress = asyncio.Event()
        self.release = asyncio.Event()
        self._error = error

    async def __call__(self, record: Any) -> None:
        self.began.append(record.offset)
        self.in_progress.set()
        while not self.release.is_set():
            try:
                # A test that fails before the release must end nevertheless.
                await asyncio.wait_for(self.release.wait(), 30)
            except asyncio.CancelledError:
                continue
        self.ended.append(record.offset)
        if self._error is not None:
            raise self._error


async def filled(clients: Clients, number: int = 5) -> str:
    topic = await clients.topic()
    producer = await clients.producer()
    for count in range(number):
        await producer.send_and_wait(topic, b"%d" % count, partition=0)
    return topic


async def ended(handler: Stubborn) -> None:
    """Let the handler end, and what it is called by notice that."""
    handler.release.set()
    await eventually(lambda: handler.ended)
    for _ in range(10):
        await asyncio.sleep(0)


def said(caplog: pytest.LogCaptureFixture) -> int:
    return sum("was cancelled and went on" in line for line in caplog.messages)


async def test_no_record_is_handled_after_a_handler_that_outlives_the_loop(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await filled(memory)
    consumer = await memory.consumer(topic, group="g")
    handler, stop = Stubborn(), asyncio.Event()
    loop = asyncio.create_task(tracing.consume(consumer, handler, stop=stop, drain_timeout_s=0.05))
    await handler.in_progress.wait()
    stop.set()
    await asyncio.wait_for(loop, 30)
    assert 1 == said(caplog)

    await ended(handler)

    assert [0] == handler.began
    assert 1 == said(caplog)
    assert None is await consumer.committed(TopicPartition(topic, 0))


async def test_no_record_is_handled_after_a_handler_that_outlives_its_partition(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await filled(clients)
    first = await clients.consumer(topic, group="g")
    handler, stop = Stubborn(), asyncio.Event()
    loop = asyncio.create_task(
        tracing.consume(first, handler, stop=stop, drain_timeout_s=0.05, commit_interval_s=0.05)
    )
    await asyncio.wait_for(handler.in_progress.wait(), 60)
    # A second member comes; whichever of the two has the partition then begins with its first
    # record, and the handler that was cut off goes on to none.
    joined = await clients.consumer(topic, group="g")
    taken: list[int] = []

    async def takes(record: Any) -> None:
        taken.append(record.offset)

    other = asyncio.create_task(tracing.consume(joined, takes, stop=stop))
    await eventually(lambda: said(caplog) == 1, timeout_s=60)
    await eventually(lambda: len(taken) == 5 or handler.began[1:] == [0], timeout_s=60)
    await ended(handler)
    if not taken:
        await eventually(lambda: handler.began == [0, *range(5)], timeout_s=60)

    assert 1 == said(caplog)
    assert list(range(5)) == (taken or handler.began[1:])
    stop.set()
    await asyncio.wait_for(asyncio.gather(loop, other), 60)


async def test_a_handler_that_fails_after_the_loop_gave_up_on_it_makes_no_dead_letter(
    memory: _InMemory,
) -> None:
    topic = await filled(memory)
    consumer = await memory.consumer(topic, group="g")
    letters = DeadLetters(await memory.producer())
    handler, stop = Stubborn(ValueError("late")), asyncio.Event()
    loop = asyncio.create_task(
        tracing.consume(
            consumer,
            handler,
            stop=stop,
            drain_timeout_s=0.05,
            retry=Retry(attempts=3, delay_s=0.01),
            dead_letters=letters,
        )
    )
    await handler.in_progress.wait()
    stop.set()
    await asyncio.wait_for(loop, 30)

    await ended(handler)

    assert [0] == handler.began
    assert () == memory.broker.records(f"{topic}.g.dlq")
    assert None is await consumer.committed(TopicPartition(topic, 0))


async def test_a_handler_that_swallows_its_cancellation_and_ends_in_time_is_not_committed(
    memory: _InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    topic = await filled(memory)
    consumer = await memory.consumer(topic, group="g")
    began: list[int] = []
    stop = asyncio.Event()

    async def swallows(record: Any) -> None:
        began.append(record.offset)
        stop.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    await asyncio.wait_for(tracing.consume(consumer, swallows, stop=stop, drain_timeout_s=0.05), 30)

    assert [0] == began
    assert 1 == said(caplog)
    assert None is await consumer.committed(TopicPartition(topic, 0))
    assert 0 == (await consumer.getone()).offset


async def test_a_handler_that_the_loop_gave_up_on_does_not_keep_its_place(
    memory: _InMemory,
) -> None:
    topic = await filled(memory)
    first = await memory.consumer(topic, group="g")
    handler, stop = Stubborn(), asyncio.Event()
    loop = asyncio.create_task(
        tracing.consume(first, handler, stop=stop, drain_timeout_s=0.05, concurrency=1)
    )
    await handler.in_progress.wait()
    # The first member keeps the first partition, in a new assignment.
    await memory.consumer(topic, group="g")

    await eventually(lambda: handler.began == [0, 0])

    handler.release.set()
    await eventually(lambda: handler.began[1:] == list(range(5)))
    stop.set()
    await asyncio.wait_for(loop, 30)
