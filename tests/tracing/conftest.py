"""Clients of all brokers: the same tests hold for the in-memory double, and for real ones."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from demo_pipeline.broker import create_topics
from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.core.environment import FLAT_VARIABLE
from tracing.testing import Capture, InMemoryBroker, InMemoryConsumer, InMemoryProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PARTITIONS = 4

_FLAT: Final = "flat"
_GENERAL: Final = "general"
_HERE: Final = Path(__file__).parent
# What is said of spans, headers and metrics holds with the flat path and without it.
_BOTH_WAYS: Final = frozenset(
    {"delivery", "headers", "kafka", "messaging", "metrics", "sagas", "schemas", "spans"}
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of some packages twice, with the flat path and without it."""
    if _HERE not in metafunc.definition.path.parents:
        return
    package, *inner, _ = metafunc.definition.path.relative_to(_HERE).parts
    # The tests of the flat path itself, by their folder or name, choose for themselves.
    about_it = "flat" in inner or "_flat_" in metafunc.function.__name__
    if package in _BOTH_WAYS and not about_it:
        metafunc.parametrize(_chosen_path.__name__, (_FLAT, _GENERAL), indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the second run out where a test talks to a broker, which takes long."""
    items[:] = [item for item in items if not (_is_general(item) and _is_integration(item))]


def _is_general(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get(_chosen_path.__name__) == _GENERAL


def _is_integration(item: pytest.Item) -> bool:
    return item.get_closest_marker("integration") is not None


@pytest.fixture(autouse=True)
def _chosen_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the flat path off, where the test is run for the general code."""
    if getattr(request, "param", _FLAT) == _GENERAL:
        monkeypatch.setenv(FLAT_VARIABLE, "off")


class Clients(Protocol):
    """Makes wrapped and bare clients of one broker; stops what it started."""

    telemetry: Telemetry

    async def topic(self, name: str = "orders") -> str:
        """Create a topic; returns its real name."""

    async def exact_topic(self, name: str) -> str:
        """Create a topic of this very name, unless it is there; returns the name."""

    async def producer(self, **options: Any) -> TracedProducer:
        """Make and start a wrapped producer."""

    async def consumer(
        self, *topics: str, group: str | None = None, **options: Any
    ) -> TracedConsumer:
        """Make and start a wrapped consumer that reads from the beginning."""


class _Base:
    def __init__(self, telemetry: Telemetry, stack: AsyncExitStack) -> None:
        self.telemetry = telemetry
        self.stack = stack
        self.suffix = uuid4().hex[:8]

    async def producer(self, **options: Any) -> TracedProducer:
        producer = TracedProducer(self.bare_producer(**options), self.telemetry)
        return await self.stack.enter_async_context(producer)

    async def consumer(
        self, *topics: str, group: str | None = None, **options: Any
    ) -> TracedConsumer:
        options = {"auto_offset_reset": "earliest", "enable_auto_commit": False, **options}
        group_id = None if group is None else f"{group}-{self.suffix}"
        bare = self.bare_consumer(*topics, group_id=group_id, **options)
        consumer = TracedConsumer(bare, self.telemetry, group=group)
        return await self.stack.enter_async_context(consumer)

    def bare_producer(self, **options: Any) -> Any:
        raise NotImplementedError

    def bare_consumer(self, *topics: str, **options: Any) -> Any:
        raise NotImplementedError


class _InMemory(_Base):
    broker: InMemoryBroker

    async def topic_with_a_record(self) -> str:
        """Create a topic with one record, `v` in partition 0; returns its name."""
        topic = await self.topic()
        await (await self.producer()).send_and_wait(topic, b"v", partition=0)
        return topic

    async def topic(self, name: str = "orders") -> str:
        self.broker.create_topic(name, partitions=PARTITIONS)
        return name

    async def exact_topic(self, name: str) -> str:
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
        return await self.exact_topic(real)

    async def exact_topic(self, name: str) -> str:
        await create_topics(self.servers, {name: PARTITIONS})
        return name

    def bare_producer(self, **options: Any) -> Any:
        return AIOKafkaProducer(bootstrap_servers=self.servers, **options)

    def bare_consumer(self, *topics: str, **options: Any) -> Any:
        return AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self.servers,
            fetch_max_wait_ms=10,
            # The embedded broker waits half of it before a new group may begin.
            session_timeout_ms=1000,
            heartbeat_interval_ms=150,
            **options,
        )


@pytest.fixture
def capture() -> Iterator[Capture]:
    with Capture("orders") as found:
        yield found


@pytest.fixture
def telemetry(capture: Capture) -> Telemetry:
    return Telemetry(
        "orders",
        tracer_provider=capture.tracer_provider,
        meter_provider=capture.meter_provider,
        logger_provider=capture.logger_provider,
        source="/orders",
    )


@pytest.fixture
async def memory(telemetry: Telemetry) -> AsyncIterator[_InMemory]:
    async with AsyncExitStack() as stack:
        clients = _InMemory(telemetry, stack)
        clients.broker = InMemoryBroker()
        yield clients


@pytest.fixture(
    params=[
        "memory",
        pytest.param("embedded", marks=pytest.mark.integration),
        pytest.param("kafka", marks=[pytest.mark.integration, pytest.mark.kafka]),
    ],
)
async def clients(request: pytest.FixtureRequest, telemetry: Telemetry) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            in_memory = _InMemory(telemetry, stack)
            in_memory.broker = InMemoryBroker()
            yield in_memory
        else:
            real = _Real(telemetry, stack)
            real.servers = request.getfixturevalue(f"{request.param}_servers")
            yield real
