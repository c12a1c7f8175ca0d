"""The telemetry of other clients: FastStream's middleware, and the official one of confluent-kafka.

Each is measured against its own bare client, with the same messages. They are no dependencies of
this project: what is not installed is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from benchmarks.overhead import application
from benchmarks.overhead.application import Gate
from benchmarks.overhead.instrumentation import official_provider, set_environment
from benchmarks.overhead.measure import Cost, hide_from_garbage_collector, timed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.overhead.rows import Client, Variant

_NEEDED: Final[dict[Client, str]] = {
    "faststream": "faststream.kafka.opentelemetry",
    "confluent": "opentelemetry.instrumentation.confluent_kafka",
}
_WARM_UP: Final = 200
_TIMEOUT_S: Final = 60.0

Phases = tuple[Callable[[int], Awaitable[None]], Callable[[int], Awaitable[None]]]
"""Sends a number of messages, and receives them."""


def installed(report: Callable[[str], None]) -> list[Client]:
    """Return the clients that are installed with their telemetry; the others are reported."""
    found: list[Client] = []
    for client, module in _NEEDED.items():
        if _exists(module):
            found.append(client)
        else:
            report(f"{client}: its telemetry is not installed, so it is left out")
    return found


def _exists(module: str) -> bool:
    with suppress(ImportError):
        return find_spec(module) is not None
    return False


async def measure(variant: Variant, servers: str, name: str, messages: int) -> Cost:
    """Measure sending and receiving with another client in this process.

    Args:
        variant: What to measure.
        servers: The broker.
        name: The topic, which is there and empty.
        messages: How many messages to send, besides some for a warm-up.
    """
    flush: Callable[[], object] = _nothing
    provider = None
    if variant.instrumentation != "none":
        set_environment(variant)
        provider = official_provider(encoded=variant.encoded)
        flush = provider.force_flush
    opened = _faststream if variant.client == "faststream" else _confluent
    async with opened(provider, servers, name) as (send, receive):
        await send(_WARM_UP)
        await receive(_WARM_UP)
        flush()
        hide_from_garbage_collector()
        return Cost(
            phases={
                "send": await timed(send(messages), messages, flush),
                "receive": await timed(receive(messages), messages, flush),
            }
        )


def _nothing() -> None:
    """Do nothing."""


@asynccontextmanager
async def _faststream(provider: Any, servers: str, topic: str) -> AsyncIterator[Phases]:
    middlewares = []
    if provider is not None:
        telemetry: Any = import_module(_NEEDED["faststream"])
        middlewares.append(telemetry.KafkaTelemetryMiddleware(tracer_provider=provider))
    client: Any = import_module("faststream.kafka")
    broker = client.KafkaBroker(servers, middlewares=middlewares, logger=None)
    gate = Gate()
    broker.subscriber(topic, auto_offset_reset="earliest", fetch_max_wait_ms=10)(gate.handle)
    publisher = broker.publisher(topic)

    async def send(messages: int) -> None:
        pending: list[asyncio.Future[Any]] = []
        for number in range(messages):
            pending.append(
                await publisher.publish(
                    application.VALUE, key=b"%d" % (number % 100), no_confirm=True
                )
            )
            if len(pending) == application.IN_FLIGHT:
                await asyncio.gather(*pending)
                pending.clear()
        await asyncio.gather(*pending)

    await broker.start()
    try:
        yield send, gate.receive
    finally:
        await broker.stop()


@asynccontextmanager
async def _confluent(provider: Any, servers: str, topic: str) -> AsyncIterator[Phases]:
    client: Any = import_module("confluent_kafka")
    producer = client.Producer({"bootstrap.servers": servers})
    consumer = client.Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,
        }
    )
    consumer.subscribe([topic])
    # Only the application's own calls are instrumented: the proxies cannot close.
    traced_producer, traced_consumer = producer, consumer
    if provider is not None:
        instrumentation: Any = import_module(_NEEDED["confluent"])
        instrumentor = instrumentation.ConfluentKafkaInstrumentor()
        traced_producer = instrumentor.instrument_producer(producer, provider)
        traced_consumer = instrumentor.instrument_consumer(consumer, provider)

    async def send(messages: int) -> None:
        for number in range(messages):
            traced_producer.produce(topic, application.VALUE, key=b"%d" % (number % 100))
            if number % application.IN_FLIGHT == 0:
                producer.flush(_TIMEOUT_S)
        producer.flush(_TIMEOUT_S)

    async def receive(messages: int) -> None:
        deadline = monotonic() + _TIMEOUT_S
        while messages:
            message = traced_consumer.poll(1.0)
            if message is not None and message.error() is None:
                messages -= 1
            elif monotonic() > deadline:
                raise TimeoutError(f"{messages} messages did not arrive")

    try:
        yield send, receive
    finally:
        consumer.close()
