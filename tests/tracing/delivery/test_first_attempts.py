"""The first attempt at a record costs little, and is judged as any other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import tracing
from tracing.delivery import lane

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.tracing.conftest import Clients
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
