"""The times of records that needed several attempts add up to the lag of their flows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import tracing
from tests.tracing.delivery.test_retry import Failing, consumed
from tracing import DeadLetters, Rejected, Retry
from tracing.testing import HistogramValue, eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import _InMemory
    from tracing.testing import Capture

ATTEMPTS = Retry(attempts=5, delay_s=0)
ERROR = {"error.type": "ConnectionError"}


def _sum(capture: Capture, name: str, **labels: str) -> float:
    found = capture.metric(name, labels)
    return found.sum if isinstance(found, HistogramValue) else 0.0


def _count(capture: Capture, name: str, labels: dict[str, str] | None = None) -> int:
    found = capture.metric(name, labels)
    return found.count if isinstance(found, HistogramValue) else 0


class Slow(Failing):
    """Takes some time for each attempt."""

    async def __call__(self, record: Any) -> None:
        await asyncio.sleep(0.1)
        await super().__call__(record)


async def test_the_parts_of_a_flow_with_many_attempts_add_up_to_its_lag(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    await producer.send_and_wait(topic, b"v", headers=tracing.cloudevent(type="Placed"))
    handler = Slow(4)

    await consumed(memory, topic, handler, until=lambda: handler.handled, retry=ATTEMPTS)

    process, retry = "messaging.process.duration", "pipeline.retry.duration"
    succeeded_s = _sum(capture, process) - _sum(capture, process, **ERROR)
    parts_s = (
        _sum(capture, "pipeline.publish.duration")
        + _sum(capture, "pipeline.wait.duration")
        + _sum(capture, "pipeline.retry.first_attempt.duration")
        + _sum(capture, retry)
        + succeeded_s
    )
    # What is counted twice, or not at all, is one attempt at least.
    assert _sum(capture, "pipeline.end_to_end.duration") == pytest.approx(parts_s, abs=0.08)
    assert 0 == _count(capture, retry, ERROR)


async def test_retry_times_of_dead_letters_have_their_error_and_no_first_attempt(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    handler = Failing(3)

    await consumed(
        memory, topic, handler, until=lambda: len(handler.calls) == 3,
        retry=Retry(attempts=3, delay_s=0), dead_letters=DeadLetters(await memory.producer()),
    )  # fmt: skip

    retry = "pipeline.retry.duration"
    assert (1, 1) == (_count(capture, retry), _count(capture, retry, ERROR))
    assert 0 == _count(capture, "pipeline.retry.first_attempt.duration")


async def test_a_rejected_record_has_arrived_as_one_that_was_handled(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    calls: list[Any] = []

    async def handler(record: Any) -> None:
        calls.append(record)
        raise ConnectionError if len(calls) == 1 else Rejected("sold out")

    await consumed(memory, topic, handler, until=lambda: len(calls) == 2, retry=ATTEMPTS)

    retry = "pipeline.retry.duration"
    assert (1, 0) == (_count(capture, retry), _count(capture, retry, ERROR))
    assert 1 == _count(capture, "pipeline.retry.first_attempt.duration")


@pytest.mark.parametrize("sampled", [True, False])
async def test_retry_time_counts_in_the_pipeline_of_the_record(
    memory: _InMemory, capture: Capture, *, sampled: bool
) -> None:
    topic = await memory.topic()
    flags = "01" if sampled else "00"
    headers = [
        ("traceparent", f"00-{'1' * 32}-{'2' * 16}-{flags}".encode()),
        ("baggage", b"pipeline.name=returns,pipeline.origin=1700000000000"),
    ]
    async with memory.bare_producer() as producer:
        await producer.send_and_wait(topic, b"v", headers=headers)
    handler = Failing(1)

    await consumed(memory, topic, handler, until=lambda: handler.handled, retry=ATTEMPTS)

    for name in ("pipeline.retry.duration", "pipeline.wait.duration"):
        assert (1, 1) == (_count(capture, name), _count(capture, name, {"pipeline": "returns"}))


async def test_what_records_of_several_pipelines_need_at_once_counts_in_that_of_each(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic()
    names = ["returns", "gifts", "gifts"]
    async with memory.bare_producer() as producer:
        for partition, name in enumerate(names):
            flow = ("baggage", f"pipeline.name={name},pipeline.origin=1700000000000".encode())
            await producer.send_and_wait(topic, b"v", partition=partition, headers=[flow])
    handler = Failing(6)
    # Each waits in its first attempt until the others are in theirs.
    waiting = asyncio.Barrier(3)

    async def together(record: Any) -> None:
        await waiting.wait()
        await handler(record)

    await consumed(
        memory, topic, together, until=lambda: len(handler.calls) == 6,
        retry=Retry(attempts=2, delay_s=0), dead_letters=DeadLetters(await memory.producer()),
    )  # fmt: skip

    for name, number in (("returns", 1), ("gifts", 2)):
        labels = {"pipeline": name}
        assert number == _count(capture, "pipeline.retry.duration", labels)
        assert number == capture.metric("pipeline.dead_letters", labels)


async def test_a_record_whose_second_attempt_is_cancelled_counts_when_it_comes_again(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    calls: list[Any] = []

    async def handler(record: Any) -> None:
        calls.append(record)
        if len(calls) == 1:
            raise ConnectionError
        await asyncio.Event().wait()

    consumer = await memory.consumer(topic)
    loop = asyncio.create_task(
        tracing.consume(consumer, handler, retry=ATTEMPTS, drain_timeout_s=0.01)
    )
    await eventually(lambda: len(calls) == 2)
    loop.cancel()
    await asyncio.wait([loop])

    assert loop.cancelled()
    assert 0 == _count(capture, "pipeline.retry.duration")
    assert 0 == _count(capture, "pipeline.retry.attempts")
