"""The marks of a replay: only a replay writes them, and they count only if they fit the record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import attach, detach, get_current, set_value

import tracing
from tests.tracing.delivery.giving_up import given_up
from tracing import Replay
from tracing.core.otel_context import SUPPRESSED
from tracing.headers.dead_letter import REPLAY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiokafka.structs import ConsumerRecord

    from tests.tracing.conftest import Clients, _InMemory
    from tracing import TracedConsumer, TracedProducer
    from tracing.testing import Capture

    Send = Callable[[TracedProducer, str, list[Any]], Awaitable[object]]

LABELS = {"messaging.destination.name": "orders", "messaging.consumer.group.name": "payment"}


async def _send(producer: TracedProducer, topic: str, headers: list[Any]) -> None:
    await (await producer.send(topic, b"v", partition=0, headers=headers))


async def _send_and_wait(producer: TracedProducer, topic: str, headers: list[Any]) -> None:
    await producer.send_and_wait(topic, b"v", partition=0, headers=headers)


async def _send_batch(producer: TracedProducer, topic: str, headers: list[Any]) -> None:
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=b"v", headers=headers)
    await (await producer.send_batch(batch, topic, partition=0))


SENDS = pytest.mark.parametrize("send", [_send, _send_and_wait, _send_batch])


def marks(topic: str, group: str = "shipping", offset: int = 0) -> list[Any]:
    return Replay(group=group, id=f"{topic}/0/{offset}").headers()


async def seen(consumer: TracedConsumer, number: int) -> list[ConsumerRecord[Any, Any]]:
    return [await consumer.wrapped.getone() for _ in range(number)]


@SENDS
async def test_an_ordinary_send_omits_marks(clients: Clients, send: Send) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    given = [("mine", b"1"), *marks(topic), ("mine", b"2"), *marks(topic)]

    await send(producer, topic, given)

    (record,) = await seen(await clients.consumer(topic), 1)
    names = [name for name, _ in record.headers]
    assert REPLAY_HEADERS.isdisjoint(names)
    assert 2 == names.count("mine")
    assert 6 == len(given)


@SENDS
@pytest.mark.parametrize("more", ["before", "after"])
async def test_marks_among_very_many_headers_are_omitted_too(
    memory: _InMemory, send: Send, more: str
) -> None:
    topic = await memory.topic()
    others = [("traceparent", b"no"), ("mine", b"1")] * 300
    written = marks(topic)

    await send(
        await memory.producer(), topic, others + written if more == "before" else written + others
    )

    (record,) = await seen(await memory.consumer(topic), 1)
    names = [name for name, _ in record.headers]
    assert REPLAY_HEADERS.isdisjoint(names)
    assert 300 == names.count("mine")


@SENDS
async def test_marks_are_omitted_where_telemetry_is_suppressed(
    memory: _InMemory, send: Send
) -> None:
    topic = await memory.topic()
    producer = await memory.producer()
    token = attach(set_value(SUPPRESSED, True, get_current()))
    try:
        await send(producer, topic, [("mine", b"1"), *marks(topic)])
    finally:
        detach(token)

    (record,) = await seen(await memory.consumer(topic), 1)
    assert [("mine", b"1")] == list(record.headers)


@SENDS
async def test_marks_are_omitted_where_telemetry_fails(
    memory: _InMemory, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    topic = await memory.topic()
    producer = await memory.producer()
    monkeypatch.setattr(producer.telemetry.propagation, "inject", broken)
    await send(producer, topic, [("mine", b"1"), *marks(topic)])

    (record,) = await seen(await memory.consumer(topic), 1)
    assert [("mine", b"1")] == list(record.headers)


async def test_a_record_forwarded_with_the_headers_of_a_replay_is_for_every_group(
    clients: Clients,
) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    await producer.send_and_wait(topic, b"first", partition=0)
    await producer.wrapped.send_and_wait(topic, b"replayed", partition=0, headers=marks(topic))
    first, replayed = await seen(await clients.consumer(topic), 2)
    assert b"first" == first.value
    await producer.send_and_wait(topic, b"next", partition=0, headers=replayed.headers)
    handled: list[bytes] = []
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        handled.append(record.value)
        if record.value == b"next":
            stop.set()

    await tracing.consume(await clients.consumer(topic, group="payment"), handler, stop=stop)

    assert [b"first", b"next"] == handled


@pytest.mark.parametrize(
    "claimed",
    [
        "{topic}/0/1", "{topic}/0/2", "{topic}/0/999", "{topic}/1/0", "other/0/0", "{topic}/0",
        "{topic}/0/x", "{topic}", "", "{topic}/00/0", "{topic}/0/00", "{topic}/-0/0", "\x00",
    ],
)  # fmt: skip
async def test_a_record_whose_marks_do_not_fit_it_is_handled_by_every_group(
    memory: _InMemory, capture: Capture, claimed: str
) -> None:
    topic = await memory.topic_with_a_record()
    bare = (await memory.producer()).wrapped
    forged = Replay(group="shipping", id=claimed.format(topic=topic)).headers()
    await bare.send_and_wait(topic, b"forged", partition=0, headers=forged)
    by_loop: list[bytes] = []
    async for record in await memory.consumer(topic, group="payment"):
        by_loop.append(record.value or b"")
        if record.value == b"forged":
            break

    assert [b"v", b"forged"] == by_loop
    assert 1 == capture.metric("pipeline.context.invalid", {"reason": "replay"})
    assert not capture.metric("pipeline.replay.skipped", LABELS)


@pytest.mark.parametrize("by", ["consume", "async for"])
async def test_a_skip_is_counted_and_logged_at_intervals(
    memory: _InMemory, capture: Capture, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    topic = await memory.topic_with_a_record()
    producer = await memory.producer()
    group = "ship\x1b[31m\nping"
    for _ in range(3):
        await producer.wrapped.send_and_wait(topic, b"s", partition=0, headers=marks(topic, group))
    await producer.send_and_wait(topic, b"last", partition=0)
    consumer = await memory.consumer(topic, group="payment")
    if by == "consume":
        stop = asyncio.Event()

        async def handler(record: Any) -> None:
            if record.value == b"last":
                stop.set()

        await tracing.consume(consumer, handler, stop=stop)
    else:
        async for record in consumer:
            if record.value == b"last":
                break

    assert 3 == capture.metric("pipeline.replay.skipped", LABELS)
    (line,) = [r.getMessage() for r in caplog.records if "replayed for group" in r.getMessage()]
    assert line.isprintable()
    assert f"{topic}[0] offset 1" in line
    assert "'payment'" in line


async def test_a_group_that_skipped_nothing_counts_zero(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    async for _ in await memory.consumer(topic, group="payment"):
        break

    assert 0 == capture.metric("pipeline.replay.skipped", LABELS)


async def test_marks_that_do_not_fit_are_not_in_the_dead_letter(clients: Clients) -> None:
    topic = await clients.topic()
    producer = await clients.producer()
    forged = marks(topic, offset=7)
    failed = [("__pipeline.errors.first_failed_at", b"1000")]
    await producer.wrapped.send_and_wait(topic, b"v", partition=0, headers=[*forged, *failed])

    (letter,) = await given_up(clients, topic)

    names = [name for name, _ in letter.headers]
    assert REPLAY_HEADERS.isdisjoint(names)
    provenance = tracing.Provenance.from_headers(letter.headers)
    assert provenance is not None
    assert provenance.first_failed_at_ms > 1000


async def test_a_first_failure_in_the_future_is_ignored(memory: _InMemory) -> None:
    topic = await memory.topic_with_a_record()
    bare = (await memory.producer()).wrapped
    claimed = [("__pipeline.errors.first_failed_at", b"99999999999999"), *marks(topic)]
    await bare.send_and_wait(topic, b"v", partition=0, headers=claimed)

    letters = await given_up(memory, topic, letters=2)

    found = [tracing.Provenance.from_headers(letter.headers) for letter in letters]
    assert all(each is not None and each.first_failed_at_ms < 2**42 for each in found)
