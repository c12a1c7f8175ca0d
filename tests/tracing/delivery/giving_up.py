"""A service that gives up on records, and what it leaves in its dead-letter topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import tracing
from tracing import DeadLetters, Retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.tracing.conftest import Clients

NOW = Retry(attempts=3, delay_s=0)


async def fail(_record: Any) -> None:
    raise ConnectionError("no stock service at 10.0.0.1")


async def given_up(
    clients: Clients,
    topic: str,
    *,
    handler: Callable[[Any], Awaitable[object]] = fail,
    letters: int = 1,
    group: str = "shipping",
    **options: Any,
) -> list[Any]:
    """Consume until there are so many letters; returns them."""
    dead_letters = DeadLetters(await clients.producer(), **options)
    source = await clients.consumer(topic, group=group)
    target = await clients.consumer(await dead_letter_topic(clients, topic, group))
    stop = asyncio.Event()
    loop = asyncio.create_task(
        tracing.consume(source, handler, retry=NOW, dead_letters=dead_letters, stop=stop)
    )
    found: list[Any] = []
    try:
        while len(found) < letters:
            batches = await target.wrapped.getmany(timeout_ms=200)
            found += [record for batch in batches.values() for record in batch]
            if loop.done():
                break
    finally:
        stop.set()
        await loop
        await source.stop()
        await target.stop()
    return found


async def dead_letter_topic(clients: Clients, topic: str, group: str) -> str:
    return await clients.exact_topic(f"{topic}.{group}.dlq")
