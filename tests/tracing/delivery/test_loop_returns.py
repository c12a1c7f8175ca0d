"""`consume` returns in bounded time, whatever it is waiting for, with or without a broker."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

import tracing
from demo_pipeline.broker import KafkaCluster, create_topics
from tests.chaos.pausable_broker import PausableBroker
from tracing import TracedConsumer
from tracing.testing import eventually

if TYPE_CHECKING:
    from tests.tracing.conftest import Clients, _InMemory
    from tracing import Telemetry

# Far beyond the bound, and far below what was seen: for ever.
LIMIT_S = 30.0


async def never(*_args: Any, **_options: Any) -> None:
    await asyncio.Event().wait()


async def filled(clients: Clients) -> str:
    topic = await clients.topic()
    producer = await clients.producer()
    for number in range(8):
        await producer.send_and_wait(topic, b"v", partition=number % 4)
    return topic


async def stopped(consumer: TracedConsumer, loop: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()


async def cancelled(
    consumer: TracedConsumer, loop: asyncio.Task[None], stop: asyncio.Event
) -> None:
    loop.cancel()


async def unsubscribed(
    consumer: TracedConsumer, loop: asyncio.Task[None], stop: asyncio.Event
) -> None:
    consumer.unsubscribe()


async def closed(consumer: TracedConsumer, loop: asyncio.Task[None], stop: asyncio.Event) -> None:
    await consumer.stop()


async def closed_inside(
    consumer: TracedConsumer, loop: asyncio.Task[None], stop: asyncio.Event
) -> None:
    await consumer.wrapped.stop()


ENDS = [stopped, cancelled, unsubscribed, closed, closed_inside]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("hangs", ["getmany", "commit"])
async def test_the_loop_returns_while_the_consumer_does_not_answer(
    memory: _InMemory, monkeypatch: pytest.MonkeyPatch, hangs: str, end: Any
) -> None:
    topic = await filled(memory)
    consumer = await memory.consumer(topic, group="g")
    handled: list[int] = []
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        handled.append(record.offset)

    # As during a reassignment that does not end, and with a coordinator that is gone.
    gone, called = asyncio.Event(), asyncio.Event()
    real = getattr(consumer.wrapped, hangs)

    async def hanging(*args: Any, **options: Any) -> Any:
        if gone.is_set():
            called.set()
            await never()
        return await real(*args, **options)

    monkeypatch.setattr(consumer.wrapped, hangs, hanging)
    loop = asyncio.create_task(
        tracing.consume(consumer, handler, stop=stop, drain_timeout_s=0.1, commit_interval_s=0.01)
    )
    await eventually(lambda: len(handled) == 8)
    gone.set()
    producer = await memory.producer()
    await producer.send_and_wait(topic, b"v", partition=0)
    await asyncio.wait_for(called.wait(), LIMIT_S)

    ending = asyncio.create_task(end(consumer, loop, stop))
    done, _ = await asyncio.wait((loop,), timeout=LIMIT_S)

    assert {loop} == done
    await asyncio.wait_for(ending, LIMIT_S)


async def test_the_loop_continues_polling_while_a_commit_is_not_answered(
    memory: _InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await filled(memory)
    consumer = await memory.consumer(topic, group="g")
    monkeypatch.setattr(consumer.wrapped, "commit", never)
    handled: list[int] = []
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        handled.append(record.offset)

    loop = asyncio.create_task(
        tracing.consume(consumer, handler, stop=stop, drain_timeout_s=0.1, commit_interval_s=0.01)
    )
    producer = await memory.producer()
    for number in range(8, 12):
        await eventually(lambda wanted=number: len(handled) == wanted)  # type: ignore[misc]  # mypy cannot infer it
        await producer.send_and_wait(topic, b"v", partition=0)
    stop.set()
    await asyncio.wait_for(loop, LIMIT_S)


@pytest.mark.kafka
@pytest.mark.integration
@pytest.mark.timeout(240)
@pytest.mark.parametrize("end", [stopped, cancelled, closed, closed_inside])
async def test_the_loop_returns_when_the_broker_is_gone(
    java: None, telemetry: Telemetry, end: Any
) -> None:
    async with AsyncExitStack() as stack:
        kafka = await stack.enter_async_context(KafkaCluster())
        servers = kafka.bootstrap_servers
        await create_topics(servers, {"orders": 4})
        async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
            for number in range(8):
                await producer.send_and_wait("orders", b"v", partition=number % 4)
        bare = AIOKafkaConsumer(
            "orders",
            bootstrap_servers=servers,
            group_id="g",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=5000,
        )
        consumer = TracedConsumer(bare, telemetry)
        await consumer.start()
        handled: list[int] = []
        stop, more = asyncio.Event(), asyncio.Event()

        async def handler(record: Any) -> None:
            handled.append(record.offset)
            if len(handled) == 8:
                await more.wait()

        loop = asyncio.create_task(
            tracing.consume(consumer, handler, stop=stop, drain_timeout_s=2, commit_interval_s=0.05)
        )
        await eventually(lambda: len(handled) == 8, timeout_s=LIMIT_S)
        with PausableBroker(kafka).stopped():
            # So that there is something to commit.
            more.set()
            ending = asyncio.create_task(end(consumer, loop, stop))
            done, _ = await asyncio.wait((loop,), timeout=LIMIT_S)
            assert {loop} == done
        await asyncio.wait_for(ending, 2 * LIMIT_S)
        await asyncio.wait_for(consumer.stop(), 2 * LIMIT_S)


@pytest.mark.parametrize("attempt", range(5))
async def test_the_loop_returns_when_the_consumer_is_closed_during_a_rebalance(
    clients: Clients, attempt: int
) -> None:
    topic = await filled(clients)
    consumer = await clients.consumer(topic, group="g")

    async def handler(_record: Any) -> None:
        await asyncio.sleep(0)

    loop = asyncio.create_task(tracing.consume(consumer, handler, drain_timeout_s=1))
    joining = asyncio.create_task(clients.consumer(topic, group="g"))
    await asyncio.sleep(0.02 * attempt)
    await asyncio.wait_for(consumer.stop(), LIMIT_S)
    done, _ = await asyncio.wait((loop,), timeout=LIMIT_S)

    assert {loop} == done
    await asyncio.wait_for(joining, LIMIT_S)
