"""Read dead letters from a cluster one by one, without a consumer group."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from tracing.dlq.places import LetterId, begin, note, partitions_of
from tracing.headers.codec import latest
from tracing.headers.dead_letter_formats import FORMATS
from tracing.headers.w3c import TRACEPARENT, TRACESTATE, parse_traceparent
from tracing.kafka.readable_polls import ReadablePolls
from tracing.messaging.unreadable import BrokenRecord

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable

    from aiokafka.structs import TopicPartition
    from opentelemetry.trace import SpanContext

    from tracing.dlq.places import Troubles
    from tracing.headers.dead_letter import Provenance
    from tracing.headers.dead_letter_formats import DeadLetterFormats
    from tracing.kafka.connection import Connection

_POLL_MS = 500
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of a dead-letter topic.

    Attributes:
        id: Its position.
        record: The record.
        provenance: Where it came from, whatever system wrote it; `None` if the record does not
            say, so it is not a dead letter.
        problem: Why clients cannot read it; `None` if they can.
        whole: Whether the record is complete. If not, its value is raw bytes that hold no readable
            record, perhaps a whole batch.
        offsets: Number of offsets that it covers; more than one for the bytes of a batch.
        edited: Whether the value is another one than the topic holds.
    """

    id: LetterId
    record: ConsumerRecord[Any, Any]
    provenance: Provenance | None
    problem: str | None = None
    whole: bool = True
    offsets: int = 1
    edited: bool = False

    @classmethod
    def of(
        cls,
        record: ConsumerRecord[Any, Any] | BrokenRecord,
        formats: DeadLetterFormats = FORMATS,
    ) -> Letter:
        """Return a record as a dead letter."""
        position = _place(record)
        provenance = formats.provenance(
            record.headers, topic=record.topic, timestamp_ms=record.timestamp
        )
        if not isinstance(record, BrokenRecord):
            return cls(position, record, provenance)
        key, value, headers = record.key, record.value, cast("Any", record.headers)
        readable = ConsumerRecord[Any, Any](
            record.topic, record.partition, record.offset, record.timestamp, 0, key, value, None,
            -1 if key is None else len(key), -1 if value is None else len(value), headers,
        )  # fmt: skip
        offsets = record.next_offset - record.offset
        return cls(position, readable, provenance, record.problem, record.whole, offsets)

    def with_value(self, value: bytes) -> Letter:
        """Return the dead letter with another value, and all else as it is."""
        record = replace(self.record, value=value, serialized_value_size=len(value))
        return replace(self, record=record, edited=True)

    @property
    def context(self) -> SpanContext | None:
        """The span that sent the dead letter, in the failed trace; `None` without one."""
        present = latest(self.record.headers)
        span = parse_traceparent(present.get(TRACEPARENT), present.get(TRACESTATE))
        return None if span is None else span.get_span_context()


async def dead_letter_topics(
    connection: Connection, suffix: str = ".dlq", formats: DeadLetterFormats = FORMATS
) -> list[str]:
    """Return the names of all dead-letter topics, sorted.

    Args:
        connection: The cluster.
        suffix: What this library's dead-letter topics end in.
        formats: How other systems name theirs.

    Raises:
        KafkaError: The cluster does not answer, or refuses.
    """
    return sorted(
        topic
        for topic in await topics_of(connection)
        if topic.endswith(suffix) or formats.is_dead_letter_topic(topic)
    )


async def topics_of(connection: Connection) -> set[str]:
    """Return the names of all topics that the client may describe.

    Raises:
        KafkaError: The cluster does not answer, or refuses.
    """
    async with reader(connection) as consumer:
        return set(await consumer.topics())


@asynccontextmanager
async def reader(connection: Connection) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer without a group, and stop it at the end."""
    consumer = AIOKafkaConsumer(
        **connection.client(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # A dead letter of an aborted transaction does not count: its record is handled again.
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
    only: LetterId | Collection[LetterId] | None = None,
    after: Collection[LetterId] = (),
    timeout_s: float = 30.0,
    troubles: Troubles | None = None,
    formats: DeadLetterFormats = FORMATS,
) -> AsyncGenerator[Letter, None]:
    """Yield the dead letters that topics hold now, in order per partition, in bounded memory.

    A dead letter that clients cannot read is yielded with its `problem`. A caller that stops early
    must close the generator: `async with contextlib.aclosing(letters(...))`.

    Args:
        connection: The cluster.
        topics: The dead-letter topics.
        only: Yield this dead letter alone, or these. Of each partition, what lies between the
            first and the last of them is read.
        after: Where to go on: places, at most one of each partition, behind which to begin.
        timeout_s: How long to wait for a broker that sends nothing, in seconds.
        troubles: Receives the partitions that cannot be read, with the reason, while the others
            are read. By default the error is raised.
        formats: How dead letters name their origin.

    Raises:
        LookupError: A topic does not exist.
        TimeoutError: The brokers sent nothing for `timeout_s`.
        KafkaError: The cluster does not answer, or refuses.
    """
    single = isinstance(only, LetterId)
    wanted = frozenset((only,) if isinstance(only, LetterId) else only or ())
    if only is not None and not wanted:
        return
    partitions = await partitions_of(connection, topics, wanted, troubles)
    if not partitions:
        return
    async with reader(connection) as consumer:
        # Later records are not read: on a busy topic this would never end.
        ends = await begin(consumer, partitions, wanted, after, troubles)
        polls = ReadablePolls(consumer)
        last_answer = monotonic()
        while ends:
            try:
                batches = await polls.poll(_POLL_MS, max_records=_BATCH)
            except KafkaError as error:
                refused = [tp for tp in ends if tp.topic in error.args]
                note(troubles, refused, error)
                _leave(consumer, ends, refused)
                continue
            for tp, records in batches.items():
                for record in records:
                    if record.offset < ends.get(tp, 0) and (
                        single or not wanted or _place(record) in wanted
                    ):
                        yield Letter.of(record, formats)
            done = [tp for tp, end in ends.items() if await polls.position(tp) >= end]
            _leave(consumer, ends, done)
            if batches or polls.searching:
                last_answer = monotonic()
            elif ends and monotonic() - last_answer > timeout_s:
                silent = TimeoutError(f"the cluster sent no record for {timeout_s:g} s")
                note(troubles, tuple(ends), silent)
                return


def _place(record: ConsumerRecord[Any, Any] | BrokenRecord) -> LetterId:
    return LetterId(record.topic, record.partition, record.offset)


def _leave(
    consumer: AIOKafkaConsumer,
    ends: dict[TopicPartition, int],
    partitions: Iterable[TopicPartition],
) -> None:
    for tp in partitions:
        del ends[tp]
        consumer.pause(tp)
