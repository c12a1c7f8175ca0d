"""A proxy around a wrapped client stands for it: its private side is that of the client inside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import wrapt

import tracing
from tracing import DeadLetters, Retry
from tracing.messaging.reading import consumer_port
from tracing.messaging.transport import sender_of

if TYPE_CHECKING:
    from tests.tracing.conftest import _InMemory


def proxied(client: object) -> Any:
    return wrapt.ObjectProxy(wrapt.ObjectProxy(client))


async def test_a_loop_reads_a_consumer_in_a_proxy_and_its_dead_letters_go_by_a_producer_in_one(
    memory: _InMemory,
) -> None:
    topic = await memory.topic_with_a_record()
    dead_letters = DeadLetters(proxied(await memory.producer()))
    consumer = await memory.consumer(topic, group="shipping")
    stop = asyncio.Event()

    async def decline(_record: Any) -> None:
        stop.set()
        raise ValueError

    await tracing.consume(
        proxied(consumer), decline, retry=Retry(attempts=1), dead_letters=dead_letters, stop=stop
    )

    assert 1 == len(memory.broker.records(f"{topic}.shipping.dlq"))


class Endless:
    """Has any attribute."""

    def __getattr__(self, _name: str) -> Endless:
        return self


def test_an_object_that_has_any_attribute_is_no_client() -> None:
    assert consumer_port(Endless()) is None
    assert sender_of(Endless()) is None
