"""A dead-letter topic on Kafka that refuses writes for a while: nothing is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

import tracing
from demo_pipeline.broker import create_topics
from tracing import DeadLetters, Retry, TracedConsumer, TracedProducer, Unprocessable
from tracing.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tracing import Telemetry

pytestmark = [pytest.mark.kafka, pytest.mark.integration, pytest.mark.timeout(120)]

REFUSED_S = 20.0
RECORDS = 40


async def no_topic(servers: str, topic: str) -> None:
    """Leave the topic out: a producer waits for it, up to its request timeout."""


async def no_room(servers: str, topic: str) -> None:
    """Let the broker refuse every record at once."""
    await create_topics(servers, {topic: 2})
    await configure(servers, topic, "max.message.bytes", "10")


async def mend(servers: str, topic: str) -> None:
    """Let the topic take records."""
    await create_topics(servers, {topic: 2})
    await configure(servers, topic, "max.message.bytes", "1000000")


async def configure(servers: str, topic: str, name: str, value: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={name: value})
        answer: Any = await admin.alter_configs([resource])
        assert all(code == 0 for reply in answer for code, *_ in reply.resources)
    finally:
        await admin.close()


@pytest.mark.parametrize(
    ("refuse", "surfaces"),
    [
        pytest.param(no_topic, False, id="the producer waits"),
        pytest.param(no_room, True, id="the loop ends and is started again"),
    ],
)
async def test_nothing_is_lost_while_dead_letters_are_refused(
    kafka_servers: str,
    telemetry: Telemetry,
    refuse: Callable[[str, str], Awaitable[None]],
    surfaces: bool,
) -> None:
    servers = kafka_servers
    topic = f"orders-{uuid4().hex[:8]}"
    letters = f"{topic}.shipping.dlq"
    await create_topics(servers, {topic: 2})
    await refuse(servers, letters)
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for number in range(RECORDS):
            await producer.send_and_wait(topic, b"%d" % number, key=b"%d" % number)
    handled: set[bytes] = set()
    surfaced: list[tuple[type[Exception], ...]] = []
    stop = asyncio.Event()

    async def handler(record: Any) -> None:
        if int(record.value) % 4 == 0:
            raise Unprocessable("poison")
        handled.add(record.value)

    async def serve() -> None:
        """Run the service, and again when it ended with an error, as a supervisor does."""
        while not stop.is_set():
            bare_producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
            bare_consumer = AIOKafkaConsumer(
                topic, bootstrap_servers=servers, group_id=f"shipping-{topic}",
                enable_auto_commit=False, auto_offset_reset="earliest",
            )  # fmt: skip
            async with (
                TracedProducer(bare_producer, telemetry) as sender,
                TracedConsumer(bare_consumer, telemetry, group="shipping") as consumer,
            ):
                try:
                    await tracing.consume(
                        consumer,
                        handler,
                        retry=Retry(delay_s=0),
                        dead_letters=DeadLetters(sender),
                        stop=stop,
                    )
                except ExceptionGroup as group:
                    surfaced.append(tuple(type(error) for error in group.exceptions))

    poison = {b"%d" % number for number in range(0, RECORDS, 4)}

    async def all_there() -> bool:
        return poison <= (await values(servers, letters)).keys()

    serving = asyncio.create_task(serve())
    try:
        await asyncio.wait((serving,), timeout=REFUSED_S)
        assert not serving.done()
        await mend(servers, letters)
        assert await eventually(all_there, timeout_s=40)
        assert await eventually(lambda: len(handled) == RECORDS - len(poison), timeout_s=30)
    finally:
        stop.set()
        await serving
    assert poison == (await values(servers, letters)).keys()
    assert surfaces == bool(surfaced)
    assert all(found[0] is Unprocessable and len(found) > 1 for found in surfaced)


async def values(servers: str, topic: str) -> dict[bytes, int]:
    """All values in a topic, and how often each is there."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=servers, auto_offset_reset="earliest", fetch_max_wait_ms=50
    )
    found: dict[bytes, int] = {}
    async with consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                for record in batch:
                    value = bytes(record.value or b"")
                    found[value] = found.get(value, 0) + 1
    return found
