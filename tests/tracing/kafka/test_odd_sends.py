"""Producers whose `send` is not aiokafka's own: replaced by a library, or without a future."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest
import wrapt
from aiokafka.structs import RecordMetadata, TopicPartition

from tests.tracing.messaging.flat.send_world import SendWorld
from tracing import TracedProducer
from tracing.testing import InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import Callable


async def _by_name(send: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Add a header, as an application's replacement does that always passes headers by name."""
    kwargs["headers"] = [*(kwargs.get("headers") or ()), ("audit", b"1")]
    return await send(*args, **kwargs)


@wrapt.decorator
async def _proxied(send: Callable[..., Any], _instance: object, args: Any, kwargs: Any) -> Any:
    return await _by_name(send, *args, **kwargs)


def _signed(send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    async def replacing(*args: Any, **kwargs: Any) -> Any:
        return await _by_name(send, *args, **kwargs)

    replacing.__signature__ = inspect.signature(send)  # type: ignore[attr-defined]  # inspect's
    return replacing


class _Proxied(InMemoryProducer):
    send: Any = _proxied(InMemoryProducer.send)


class _Signed(InMemoryProducer):
    send: Any = _signed(InMemoryProducer.send)


@pytest.mark.parametrize("kind", [_Proxied, _Signed])
@pytest.mark.parametrize("flat", ["on", "off"])
async def test_a_replacement_that_shows_the_parameters_of_send_gets_headers_by_name(
    kind: type[InMemoryProducer], flat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", flat)
    world = SendWorld()
    producer: Any = TracedProducer(kind(world.broker), world.telemetry)

    await (await producer.send("orders", b"v"))
    await (await producer.send("orders", b"v", headers=[("own", b"2")]))
    await asyncio.sleep(0)

    first, second = (dict(record.headers) for record in world.broker.records("orders"))
    assert b"1" == first["audit"] == second["audit"]
    assert b"2" == second["own"]
    assert {"traceparent", "baggage"} <= first.keys() & second.keys()
    assert 2 == world.capture.metric("messaging.client.sent.messages")
    assert 2 == len(world.capture.spans())


class _Waiting(InMemoryProducer):
    async def send(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Any = None,
    ) -> Any:
        """Return the metadata itself."""
        return await (await super().send(topic, value, key, partition, timestamp_ms, headers))


class _WaitingWithMore(_Waiting):
    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Take any other arguments."""
        return await super().send(topic, *args, **kwargs)


class _Refusing:
    """A future of another library."""

    def add_done_callback(self, _callback: object) -> None:
        raise NotImplementedError


class _OfAnotherLibrary(InMemoryProducer):
    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Return a future that takes no callback."""
        await super().send(topic, *args, **kwargs)
        return _Refusing()


@pytest.mark.parametrize("kind", [_Waiting, _WaitingWithMore])
@pytest.mark.parametrize("flat", ["on", "off"])
async def test_a_send_that_returns_no_future_has_ended(
    kind: type[InMemoryProducer], flat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", flat)
    world = SendWorld()
    producer: Any = TracedProducer(kind(world.broker), world.telemetry)

    metadata = await producer.send("orders", b"v")

    assert RecordMetadata("orders", 0, TopicPartition("orders", 0), 0, *metadata[4:]) == metadata
    assert 1 == world.capture.metric("messaging.client.sent.messages")
    assert ["send orders"] == [span.name for span in world.capture.spans()]


async def test_a_future_that_takes_no_callback_fails_no_send() -> None:
    world = SendWorld()
    producer: Any = TracedProducer(_OfAnotherLibrary(world.broker), world.telemetry)

    assert isinstance(await producer.send("orders", b"v"), _Refusing)

    assert 1 == len(world.broker.records("orders"))
    assert 1 == world.capture.metric("pipeline.telemetry.dropped")
