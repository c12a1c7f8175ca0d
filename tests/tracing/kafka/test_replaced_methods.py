"""Replacements of aiokafka's methods are called, whatever they show of the method inside."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
import wrapt
from aiokafka import AIOKafkaConsumer

from tests.tracing.messaging.flat.both_ways import headers, record
from tracing import TracedConsumer, TracedProducer
from tracing.testing import InMemoryBroker, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing import Telemetry
    from tracing.testing import Capture


async def _not_the_first(method: Callable[[], Any]) -> Any:
    """Leave a record out, as an application's filter does."""
    while (received := await method()).offset == 0:
        pass
    return received


@wrapt.decorator
async def _proxied(method: Callable[..., Any], _instance: object, args: Any, kwargs: Any) -> Any:
    return await _not_the_first(functools.partial(method, *args, **kwargs))


def _wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def replacing(consumer: object) -> Any:
        return await _not_the_first(functools.partial(method, consumer))

    return replacing


class _Opened(InMemoryProducer):
    """A producer that notes when it is opened."""

    opened = False


@wrapt.decorator
async def _proxied_opening(method: Any, producer: Any, args: Any, kwargs: Any) -> Any:
    producer.opened = True
    return await method(*args, **kwargs)


def _wrapped_opening(method: Callable[..., Any]) -> Any:
    @functools.wraps(method)
    async def replacing(producer: _Opened) -> Any:
        producer.opened = True
        return await method(producer)

    return replacing


@pytest.mark.parametrize("replacement", [_proxied_opening, _wrapped_opening])
async def test_a_with_block_calls_the_replacement(
    replacement: Callable[..., Any], telemetry: Telemetry
) -> None:
    class Producer(_Opened):
        __aenter__ = replacement(InMemoryProducer.__aenter__)

    bare: Any = Producer(InMemoryBroker())

    async with TracedProducer(bare, telemetry) as producer:
        assert isinstance(producer, TracedProducer)

    assert bare.opened


def _plain(method: Callable[..., Any]) -> Callable[..., Any]:
    return method


@pytest.mark.parametrize(
    ("replacement", "offsets"), [(_proxied, [1, 2]), (_wrapped, [1, 2]), (_plain, [0, 1, 2])]
)
async def test_a_loop_calls_the_replacement(
    replacement: Callable[..., Any], offsets: list[int], telemetry: Telemetry, capture: Capture
) -> None:
    bare: Any = AIOKafkaConsumer
    waiting = [record(headers(), offset) for offset in range(3)]

    class Consumer(bare):  # type: ignore[misc]  # aiokafka's is typed in parts only
        __anext__ = replacement(bare.__anext__)

        def __init__(self) -> None:
            """Connect to nothing."""

        def __aiter__(self) -> Any:
            return self

        def __del__(self) -> None:
            """Close nothing."""

        async def getone(self, *_partitions: Any) -> Any:
            if not waiting:
                raise StopAsyncIteration
            return waiting.pop(0)

    consumer = TracedConsumer(Consumer(), telemetry, group="g")

    seen = [received.offset async for received in consumer]

    assert offsets == seen
    assert len(offsets) == len(capture.spans())
