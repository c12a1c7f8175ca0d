"""A topic and a group of one test on a shared cluster, and a monitor for them alone."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from demo_pipeline.broker import create_topics
from tracing.lag import Connection, LagMonitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from tracing.lag import GroupLag, PartitionLag, Sweep


@dataclass(frozen=True)
class Scene:
    servers: str
    name: str = field(default_factory=lambda: f"lag-{uuid4().hex[:8]}")

    @property
    def topic(self) -> str:
        return self.name

    @property
    def group(self) -> str:
        return f"{self.name}-group"

    def tp(self, partition: int = 0) -> TopicPartition:
        return TopicPartition(self.topic, partition)

    async def create(self, partitions: int = 1, **settings: str) -> None:
        """Create the topic, with settings in which underscores stand for dots."""
        if not settings:
            await create_topics(self.servers, {self.topic: partitions})
            return
        configs = {name.replace("_", "."): value for name, value in settings.items()}
        async with self.admin() as admin:
            await admin.create_topics([NewTopic(self.topic, partitions, 1, topic_configs=configs)])

    async def produce(self, *timestamps_ms: int | None, partition: int = 0, **options: Any) -> None:
        """Send a record for each timestamp, one after the other."""
        async with AIOKafkaProducer(bootstrap_servers=self.servers, **options) as producer:
            for timestamp_ms in timestamps_ms:
                await producer.send_and_wait(
                    self.topic, b"v", partition=partition, timestamp_ms=timestamp_ms
                )

    async def batch(self, timestamps_ms: Sequence[int], compression: str | None) -> None:
        """Send records in one batch."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.servers, compression_type=compression
        ) as producer:
            builder = producer.create_batch()
            for timestamp_ms in timestamps_ms:
                assert builder.append(key=None, value=b"v", timestamp=timestamp_ms) is not None
            await (await producer.send_batch(builder, self.topic, partition=0))

    async def large(self, partition: int, timestamp_ms: int, size: int) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
            await producer.send_and_wait(
                self.topic, b"v" * size, partition=partition, timestamp_ms=timestamp_ms
            )

    async def commit(self, offsets: Mapping[int, int], group: str | None = None) -> None:
        """Commit without being a member."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, group_id=group or self.group, enable_auto_commit=False
        )
        async with consumer:
            consumer.assign([self.tp(number) for number in offsets])
            await consumer.commit({self.tp(number): offset for number, offset in offsets.items()})

    @asynccontextmanager
    async def member(
        self, group: str | None = None, **options: Any
    ) -> AsyncIterator[AIOKafkaConsumer]:
        """Start a member of the group that never commits by itself."""
        consumer = AIOKafkaConsumer(
            self.topic, bootstrap_servers=self.servers, group_id=group or self.group,
            enable_auto_commit=False, auto_offset_reset="latest", metadata_max_age_ms=300,
            **options,
        )  # fmt: skip
        async with consumer:
            yield consumer

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    def monitor(self, **options: Any) -> LagMonitor:
        options = {"groups": [self.group], "topics": [self.topic], **options}
        telemetry = options.pop("telemetry", None)
        return LagMonitor(Connection(self.servers), telemetry, **options)


def only(sweep: Sweep) -> PartitionLag:
    """Return the only partition of a sweep."""
    (group,) = sweep.groups
    (partition,) = group.partitions
    return partition


def partitions(sweep: Sweep) -> dict[int, PartitionLag]:
    """Return the partitions of a sweep's only group, by number."""
    (group,) = sweep.groups
    return {part.partition: part for part in group.partitions}


async def watched(
    monitor: LagMonitor, act: Callable[[], Any], until: Callable[[GroupLag], bool]
) -> Sweep:
    """Sweep, and act between sweeps, until a condition holds."""
    deadline = monotonic() + 30
    async for sweep in monitor.sweeps():
        if sweep.groups and until(sweep.groups[0]):
            return sweep
        assert monotonic() < deadline, sweep
        await act()
    raise AssertionError
