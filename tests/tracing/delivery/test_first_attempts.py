"""The first attempt at a record costs little, and is judged as any other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import tracing
from tracing import TracedConsumer
from tracing.delivery import lane
from tracing.kafka import consumer as consumer_module
from tracing.messaging.flat.engine import engine_of
from tracing.messaging.flat.processing import FlatProcessing
from tracing.testing import InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.tracing.conftest import Clients, _InMemory
    from tracing import Telemetry
    from tracing.testing import Capture


class Handled:
    """An awaitable that is no coroutine."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def __await__(self) -> Generator[Any, Any, None]:
        if self._error is not None:
            raise self._error
        return asyncio.sleep(0).__await__()


async def sent(clients: Clients, number: int) -> tuple[Any, str]:
    topic = await clients.topic()
    producer = await clients.producer()
    for _ in range(number):
        await producer.send(topic, b"", key=b"")
    await producer.flush()
    return await clients.consumer(topic, group="g"), topic


@pytest.mark.parametrize("options", [{}, {"retry": tracing.Retry(attempts=3)}, {"concurrency": 1}])
async def test_a_record_that_is_handled_at_once_needs_nothing_that_is_for_failures(
    clients: Clients, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, _ = await sent(clients, 3)
    used: list[str] = []
    stop = asyncio.Event()
    handled: list[int] = []
    monkeypatch.setattr(lane, "Attempts", lambda *_, **__: used.append("Attempts"))

    async def handler(record: Any) -> None:
        handled.append(record.offset)
        if len(handled) == 3:
            stop.set()

    await tracing.consume(consumer, handler, stop=stop, **options)

    assert [0, 1, 2] == handled
    assert [] == used


async def test_an_awaitable_that_is_no_coroutine_is_awaited_and_its_error_retried(
    clients: Clients, capture: Capture
) -> None:
    consumer, _ = await sent(clients, 2)
    stop = asyncio.Event()
    calls: list[int] = []

    def handler(record: Any) -> Handled:
        calls.append(record.offset)
        if len(calls) == 3:
            stop.set()
        return Handled(ValueError("not yet") if len(calls) == 1 else None)

    await tracing.consume(
        consumer, handler, stop=stop, retry=tracing.Retry(attempts=2, delay_s=0.001)
    )

    assert [0, 0, 1] == calls
    assert ["ok", "ok"] == [
        (span.attributes or {})["pipeline.outcome"]
        for span in capture.spans()
        if span.name.startswith("process ")
    ]


async def test_an_attempt_does_not_happen_during_the_handling_of_the_failure_before(
    clients: Clients,
) -> None:
    consumer, _ = await sent(clients, 1)
    raised: list[ValueError] = []

    async def handler(_: Any) -> None:
        error = ValueError(f"attempt {len(raised) + 1}")
        raised.append(error)
        raise error

    with pytest.raises(ValueError, match="attempt 3"):
        await tracing.consume(consumer, handler, retry=tracing.Retry(attempts=3, delay_s=0.001))

    assert [None, None, None] == [error.__context__ for error in raised]


async def test_ordinary_records_take_the_flat_path_and_others_are_counted_once(
    memory: _InMemory, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    class Watched(FlatProcessing):
        def __init__(self, processes: Any, record: Any) -> None:
            made.append(record.offset)
            super().__init__(processes, record)

    monkeypatch.setattr(consumer_module, "FlatProcessing", Watched)
    topic = await memory.topic()
    producer = InMemoryProducer(memory.broker)
    await producer.start()
    for headers in ([], [("tracestate", b"vendor=value")], []):
        await producer.send(topic, b"", partition=0, headers=headers)
    consumer = await memory.consumer(topic, group="g")
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        if record.offset == 2:
            stop.set()

    await tracing.consume(consumer, handler, stop=stop)

    engine = engine_of(telemetry)
    assert engine is not None
    counted = {reason: number for reason, number in engine.fallbacks.items() if number}
    assert 1 == counted.pop("context_headers")
    # The first record may be there before it is known whether the group is new.
    assert 2 == engine.taken["process"] + counted.pop("record", 0)
    assert {} == counted
    assert 2 not in made, "an ordinary record needs no Processing"
    assert 3 == len(made) + engine.taken["process"]


async def test_a_failed_attempt_at_a_flat_record_is_retried_in_its_span(
    memory: _InMemory, telemetry: Telemetry, capture: Capture
) -> None:
    topic = await memory.topic_with_a_record()
    consumer = await memory.consumer(topic, group="g")
    stop = asyncio.Event()
    calls: list[int] = []

    async def handler(record: Any) -> None:
        calls.append(record.offset)
        if calls == [0]:
            # Only the first record may be history.
            await (await memory.producer()).send_and_wait(topic, b"v", partition=0)
        elif len(calls) == 2:
            raise ValueError("not yet")
        else:
            stop.set()

    await tracing.consume(
        consumer, handler, stop=stop, retry=tracing.Retry(attempts=2, delay_s=0.001)
    )

    assert [0, 1, 1] == calls
    engine = engine_of(telemetry)
    assert engine is not None
    assert 1 == engine.taken["process"]
    *_, retry, process = (
        span for span in capture.spans() if span.name.startswith(("retry ", "process "))
    )
    assert process.context is not None
    assert retry.parent is not None
    assert process.context.span_id == retry.parent.span_id
    assert ("ok", 2) == tuple(
        (process.attributes or {})[name] for name in ("pipeline.outcome", "pipeline.attempts")
    )


@pytest.mark.parametrize("method", ["process", "addressed_elsewhere"])
async def test_a_subclass_of_the_wrapper_keeps_its_own_way_to_handle_records(
    memory: _InMemory, telemetry: Telemetry, method: str
) -> None:
    asked: list[int] = []

    def own(self: Any, record: Any) -> Any:
        asked.append(record.offset)
        return getattr(TracedConsumer, method)(self, record)

    subclass: Any = type("Own", (TracedConsumer,), {method: own})
    topic = await memory.topic_with_a_record()
    bare = (await memory.consumer(topic, group="g")).wrapped
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        if record.offset:
            stop.set()
        else:
            # Only the first record may be history, which is never flat.
            await (await memory.producer()).send_and_wait(topic, b"v", partition=0)

    await tracing.consume(subclass(bare, telemetry), handler, stop=stop)

    assert [0, 1] == asked
