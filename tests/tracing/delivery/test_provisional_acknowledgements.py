"""An acknowledgement inside a transaction is provisional: nothing durable relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock

import pytest
from aiokafka import AIOKafkaProducer

from tracing import DeadLetters, TracedProducer
from tracing.kafka.client import client_info
from tracing.testing import InMemoryBroker, InMemoryProducer

if TYPE_CHECKING:
    from tests.tracing.conftest import _InMemory
    from tracing import Telemetry
    from tracing.testing import Capture


class _Subclass(AIOKafkaProducer):
    """A producer of the application's own."""


class _Composition:
    """A wrapper that passes public methods on, as applications write them."""

    def __init__(self, producer: Any) -> None:
        self.wrapped = producer

    async def send(self, *arguments: Any) -> Any:
        return await self.wrapped.send(*arguments)


def _aiokafka(**options: Any) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", transactional_id="tx", **options)


def _subclass() -> Any:
    subclass: Any = _Subclass
    return subclass(bootstrap_servers="127.0.0.1:1", transactional_id="tx")


def _wrapped_by_others() -> Any:
    return _Composition(_Composition(_aiokafka()))


class _Service:
    """A producer of the application's own, which keeps the client under its own name."""

    def __init__(self, producer: Any) -> None:
        self.events_out = producer

    async def send(self, *arguments: Any) -> Any:
        return await self.events_out.send(*arguments)


def _under_another_name() -> Any:
    return _Service(_aiokafka())


def _double() -> Any:
    return InMemoryProducer(InMemoryBroker(), transactional_id="tx")


async def test_a_producer_is_not_refused_because_of_another_one_that_it_holds(
    telemetry: Telemetry,
) -> None:
    producer: Any = AIOKafkaProducer()
    producer.audit = _aiokafka()

    DeadLetters(TracedProducer(producer, telemetry))

    await producer.audit.stop()
    await producer.stop()


@pytest.mark.parametrize(
    "make", [_aiokafka, _subclass, _wrapped_by_others, _under_another_name, _double]
)
async def test_dead_letters_refuse_a_transactional_producer(
    make: Any, telemetry: Telemetry
) -> None:
    producer = make()

    with pytest.raises(ValueError, match=r"DeadLetters cannot send with the transactional.*'tx'"):
        DeadLetters(TracedProducer(producer, telemetry))

    innermost = getattr(producer, "events_out", producer)
    while isinstance(innermost, _Composition):
        innermost = innermost.wrapped
    await innermost.stop()


async def test_dead_letters_refuse_a_transactional_producer_that_is_started(
    memory: _InMemory,
) -> None:
    producer = await memory.producer(transactional_id="tx")
    async with producer.transaction():
        with pytest.raises(ValueError, match="'tx'"):
            DeadLetters(producer)


async def test_dead_letters_accept_an_idempotent_producer(telemetry: Telemetry) -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", enable_idempotence=True)

    DeadLetters(TracedProducer(producer, telemetry))

    await producer.stop()


async def test_a_double_without_any_configuration_counts_as_durable(telemetry: Telemetry) -> None:
    info = client_info(AsyncMock(), group=None, client_id=None)

    assert (True, None) == (info.acknowledged, info.transactional_id)
    DeadLetters(TracedProducer(AsyncMock(spec=AIOKafkaProducer), telemetry))


async def test_sends_of_an_aborted_transaction_are_counted_as_sent(
    memory: _InMemory, capture: Capture
) -> None:
    topic = await memory.topic()
    producer = await memory.producer(transactional_id="tx")

    with pytest.raises(ZeroDivisionError):
        async with producer.transaction():
            await producer.send_and_wait(topic, b"v", partition=0)
            raise ZeroDivisionError

    sent = {"messaging.destination.name": topic}
    assert 1 == capture.metric("messaging.client.sent.messages", sent)
    (span,) = (span for span in capture.spans() if span.name == f"send {topic}")
    assert span.status.is_ok or not span.status.description
