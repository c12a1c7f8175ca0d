"""Reading dead letters off a cluster, one after the other, without a consumer group."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from tracing.headers import latest
from tracing.provenance import Provenance
from tracing.w3c import TRACEPARENT, parse_traceparent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Collection

    from aiokafka.structs import ConsumerRecord
    from opentelemetry.trace import SpanContext

    from tracing.dlq.connection import Connection

_POLL_MS = 500
_BATCH = 1000


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """Where a dead letter lies, as text `topic/partition/offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> LetterId:
        """Read an id.

        Raises:
            ValueError: It is none.
        """
        try:
            topic, partition, offset = text.rsplit("/", 2)
            found = cls(topic, int(partition), int(offset))
        except ValueError:
            raise ValueError(
                f"{text!r} is no dead letter's id, which is TOPIC/PARTITION/OFFSET"
            ) from None
        if not topic or found.partition < 0 or found.offset < 0:
            raise ValueError(f"{text!r} is no dead letter's id, which is TOPIC/PARTITION/OFFSET")
        return found


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of a dead-letter topic.

    Attributes:
        id: Where it lies.
        record: The record.
        provenance: Where it came from; `None` where the record does not say so, and thus is no
            dead letter.
    """

    id: LetterId
    record: ConsumerRecord[Any, Any]
    provenance: Provenance | None

    @classmethod
    def of(cls, record: ConsumerRecord[Any, Any]) -> Letter:
        """Read a record as a dead letter."""
        place = LetterId(record.topic, record.partition, record.offset)
        return cls(place, record, Provenance.from_headers(record.headers))

    @property
    def context(self) -> SpanContext | None:
        """The span that sent the letter, in the trace that failed; `None` without one."""
        span = parse_traceparent(latest(self.record.headers).get(TRACEPARENT))
        return None if span is None else span.get_span_context()


async def dead_letter_topics(connection: Connection, suffix: str = ".dlq") -> list[str]:
    """The names of all topics that end in a suffix.

    Raises:
        KafkaError: The cluster does not answer, or refuses.
    """
    return sorted(topic for topic in await topics_of(connection) if topic.endswith(suffix))


async def topics_of(connection: Connection) -> set[str]:
    """The names of all topics that may be described.

    Raises:
        KafkaError: The cluster does not answer, or refuses.
    """
    async with reader(connection) as consumer:
        return set(await consumer.topics())


@asynccontextmanager
async def reader(connection: Connection) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer without a group."""
    consumer = AIOKafkaConsumer(
        **connection.client(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # A dead letter of a transaction that was aborted never was one: its record is handled.
        isolation_level="read_committed",
        fetch_max_wait_ms=50,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def letters(
    connection: Connection,
    topics: Collection[str],
    *,
    only: LetterId | None = None,
    timeout_s: float = 30.0,
) -> AsyncGenerator[Letter, None]:
    """Read all letters that are in some topics now, in order per partition, in bounded memory.

    Whoever stops before the end closes it: `async with contextlib.aclosing(letters(...))`.

    Args:
        connection: The cluster.
        topics: The dead-letter topics.
        only: A single letter to read instead.
        timeout_s: How long to wait for a broker that sends nothing, in seconds.

    Raises:
        LookupError: A topic does not exist.
        TimeoutError: No record came for too long.
        KafkaError: The cluster does not answer, or refuses.
    """
    partitions = await _partitions(connection, topics, only)
    if not partitions:
        return
    async with reader(connection) as consumer:
        # What comes later is not read: otherwise this would not end on a busy day.
        ends = await _begin(consumer, partitions, only)
        heard = monotonic()
        while ends:
            batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)
            for tp, records in batches.items():
                for record in records:
                    if record.offset < ends.get(tp, 0):
                        yield Letter.of(record)
            for tp, end in tuple(ends.items()):
                if await consumer.position(tp) >= end:
                    del ends[tp]
                    consumer.pause(tp)
            if batches:
                heard = monotonic()
            elif ends and monotonic() - heard > timeout_s:
                raise TimeoutError(f"the cluster sent no record for {timeout_s:g} s")


async def _partitions(
    connection: Connection, topics: Collection[str], only: LetterId | None
) -> list[TopicPartition]:
    # A consumer knows only the partitions of what it reads already.
    admin = AIOKafkaAdminClient(**connection.client())
    try:
        await admin.start()
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    found = {topic["topic"]: topic["partitions"] for topic in described if not topic["error_code"]}
    missing = sorted(set(topics) - found.keys())
    if missing:
        raise LookupError(f"there is no topic {', '.join(missing)} that may be read")
    return sorted(
        TopicPartition(topic, partition["partition"])
        for topic, partitions in found.items()
        for partition in partitions
        if only is None or (topic, partition["partition"]) == (only.topic, only.partition)
    )


async def _begin(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], only: LetterId | None
) -> dict[TopicPartition, int]:
    """Go to the first letters; returns where they end, of the partitions that have some."""
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    if only is not None:
        (tp,) = partitions
        starts[tp] = max(starts[tp], only.offset)
        ends[tp] = min(ends[tp], only.offset + 1)
    for tp in partitions:
        consumer.seek(tp, starts[tp])
        if starts[tp] >= ends[tp]:
            consumer.pause(tp)
    return {tp: ends[tp] for tp in partitions if starts[tp] < ends[tp]}
