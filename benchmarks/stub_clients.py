"""aiokafka's clients without a broker: what instrumentations cost alone, in one process.

Both classes keep all else, so that instrumentations find in them what they look for. Only sending
and receiving are replaced, before an instrumentation wraps them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord, RecordMetadata, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

_TIMESTAMP_TYPE: Final = 0
_SERVERS: Final = "localhost:9092"


class StubLog:
    """A log with one partition per topic, kept in memory until its messages are received.

    Make it before an instrumentation is set up. One at a time: it replaces methods of the classes.

    Args:
        kept: The topics whose messages are received; those of others are dropped.
    """

    def __init__(self, kept: set[str]) -> None:
        self._kept = kept
        self._records: deque[Any] = deque()
        self._offsets: dict[str, int] = dict.fromkeys(kept, 0)
        log = self

        async def send(
            _self: AIOKafkaProducer,
            topic: str,
            value: Any = None,
            key: Any = None,
            partition: int | None = None,
            timestamp_ms: int | None = None,
            headers: Any = None,
        ) -> asyncio.Future[RecordMetadata]:
            return log.append(topic, value, key, partition or 0, timestamp_ms, headers)

        async def getone(_self: AIOKafkaConsumer, *_partitions: TopicPartition) -> Any:
            return log.take()

        AIOKafkaProducer.send = send  # type: ignore[method-assign]  # on purpose
        AIOKafkaConsumer.getone = getone  # type: ignore[assignment, method-assign]  # on purpose

    def append(
        self,
        topic: str,
        value: Any,
        key: Any,
        partition: int,
        timestamp_ms: int | None,
        headers: Any,
    ) -> asyncio.Future[RecordMetadata]:
        """Add a message, and return its acknowledgement, which is there already."""
        offset = self._offsets[topic] = self._offsets.get(topic, 0) + 1
        timestamp = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
        if topic in self._kept:
            self._records.append((topic, partition, offset, timestamp, key, value, headers))
        acknowledged: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(
            RecordMetadata(
                topic,
                partition,
                TopicPartition(topic, partition),
                offset,
                timestamp,
                _TIMESTAMP_TYPE,
                0,
            )
        )
        return acknowledged

    def take(self) -> Any:
        """Return the oldest message as a record.

        Raises:
            IndexError: There is none.
        """
        topic, partition, offset, timestamp, key, value, headers = self._records.popleft()
        return ConsumerRecord(
            topic,
            partition,
            offset,
            timestamp,
            _TIMESTAMP_TYPE,
            key,
            value,
            None,
            len(key),
            len(value),
            tuple(headers or ()),
        )


def stub_producer() -> Any:
    """Make a producer that needs no broker. Call it in a running event loop."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=_SERVERS)

    async def no_metadata(_topic: str) -> None:
        """Take all topics as known."""

    # The official instrumentation asks for the partition before a send.
    producer.client._wait_on_metadata = no_metadata  # noqa: SLF001 - as above
    producer._partition = lambda *_: 0  # noqa: SLF001 - as above
    return producer


def stub_consumer(topics: Iterable[str]) -> Any:
    """Make a consumer that needs no broker. Call it in a running event loop."""
    return AIOKafkaConsumer(*topics, bootstrap_servers=_SERVERS)
