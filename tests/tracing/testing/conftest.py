"""Unwrapped clients of all brokers: the double and aiokafka must behave alike."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from demo_pipeline.broker import create_topics
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PARTITIONS = 2


class Clients(Protocol):
    """Makes clients of one broker, and stops those that it started."""

    async def topic(self, name: str = "orders") -> str:
        """Create a topic of two partitions; return its real name."""

    async def producer(self, **options: Any) -> Any:
        """Create and start a producer."""

    async def consumer(self, *topics: str, group: str | None = None, **options: Any) -> Any:
        """Create and start a consumer that reads from the beginning and commits by hand."""

    def unstarted_consumer(self, *topics: str, group: str | None = None, **options: Any) -> Any:
        """Create a consumer for the caller to start; it is stopped in any case."""


class _Base:
    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.suffix = uuid4().hex[:8]

    async def producer(self, **options: Any) -> Any:
        return await self.stack.enter_async_context(self.bare_producer(**options))

    async def consumer(self, *topics: str, group: str | None = None, **options: Any) -> Any:
        consumer = self.unstarted_consumer(*topics, group=group, **options)
        await consumer.start()
        return consumer

    def unstarted_consumer(self, *topics: str, group: str | None = None, **options: Any) -> Any:
        options = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **options}
        group_id = None if group is None else f"{group}-{self.suffix}"
        consumer = self.bare_consumer(*topics, group_id=group_id, **options)
        self.stack.push_async_callback(consumer.stop)
        return consumer

    def bare_producer(self, **options: Any) -> Any:
        raise NotImplementedError

    def bare_consumer(self, *topics: str, **options: Any) -> Any:
        raise NotImplementedError


class _InMemory(_Base):
    broker: InMemoryBroker

    async def topic(self, name: str = "orders") -> str:
        self.broker.create_topic(name, partitions=PARTITIONS)
        return name

    def bare_producer(self, **options: Any) -> Any:
        return InMemoryProducer(self.broker, **options)

    def bare_consumer(self, *topics: str, **options: Any) -> Any:
        return InMemoryConsumer(*topics, broker=self.broker, **options)


class _Real(_Base):
    servers: str

    async def topic(self, name: str = "orders") -> str:
        real = f"{name}-{self.suffix}"
        await create_topics(self.servers, {real: PARTITIONS})
        return real

    def bare_producer(self, **options: Any) -> Any:
        return AIOKafkaProducer(bootstrap_servers=self.servers, **options)

    def bare_consumer(self, *topics: str, **options: Any) -> Any:
        return AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self.servers,
            fetch_max_wait_ms=10,
            heartbeat_interval_ms=100,
            session_timeout_ms=1000,
            **options,
        )


@pytest.fixture
def broker() -> InMemoryBroker:
    return InMemoryBroker(partitions=PARTITIONS)


@pytest.fixture(
    params=[
        "memory",
        pytest.param("embedded", marks=pytest.mark.integration),
        pytest.param("kafka", marks=[pytest.mark.integration, pytest.mark.kafka]),
    ],
)
def servers(request: pytest.FixtureRequest) -> str | None:
    """Return the address of the real broker; `None` for the in-memory one."""
    if request.param == "memory":
        return None
    return str(request.getfixturevalue(f"{request.param}_servers"))


@pytest.fixture
async def clients(servers: str | None, broker: InMemoryBroker) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        if servers is None:
            in_memory = _InMemory(stack)
            in_memory.broker = broker
            yield in_memory
        else:
            real = _Real(stack)
            real.servers = servers
            yield real
