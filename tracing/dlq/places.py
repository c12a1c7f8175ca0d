"""Ids of dead letters, and the partitions to read them from; one bad partition stops no other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiokafka import AIOKafkaConsumer

    from tracing.kafka.connection import Connection

Troubles = dict[str, Exception]
"""Why partitions or topics could not be read, by `topic[partition]` or by topic."""


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """The id of a dead letter: its position, `topic/partition/offset` as text."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> LetterId:
        """Parse an id.

        Raises:
            ValueError: The text is not an id.
        """
        problem = f"{text!r} is not the id of a dead letter, which is TOPIC/PARTITION/OFFSET"
        try:
            topic, partition, offset = text.rsplit("/", 2)
            parsed = cls(topic, int(partition), int(offset))
        except ValueError:
            raise ValueError(problem) from None
        if not topic or parsed.partition < 0 or parsed.offset < 0:
            raise ValueError(problem)
        return parsed


def note(troubles: Troubles | None, partitions: Iterable[TopicPartition], error: Exception) -> None:
    """Record why partitions cannot be read; without `troubles`, raise the error."""
    noted = {f"{tp.topic}[{tp.partition}]": error for tp in partitions}
    if troubles is None or not noted:
        raise error
    troubles.update(noted)


async def partitions_of(
    connection: Connection,
    topics: Collection[str],
    only: Collection[LetterId],
    troubles: Troubles | None,
) -> list[TopicPartition]:
    """Return the partitions to read.

    Raises:
        LookupError: A topic does not exist, and `troubles` is `None` or no other topic exists.
    """
    # A consumer knows only the partitions of topics that it already reads.
    admin = AIOKafkaAdminClient(**connection.client())
    try:
        await admin.start()
        # All of them: asking for one that does not exist would create it on some clusters.
        described = await admin.describe_topics()
    finally:
        await admin.close()
    partitions_by_topic = {
        topic["topic"]: topic["partitions"]
        for topic in described
        if topic["topic"] in topics and not topic["error_code"]
    }
    missing = sorted(set(topics) - partitions_by_topic.keys())
    if missing:
        error = LookupError(f"there is no readable topic {', '.join(missing)}")
        if troubles is None or not partitions_by_topic:
            raise error
        troubles.update(dict.fromkeys(missing, error))
    wanted = {(each.topic, each.partition) for each in only}
    return sorted(
        TopicPartition(topic, partition["partition"])
        for topic, partitions in partitions_by_topic.items()
        for partition in partitions
        if not only or (topic, partition["partition"]) in wanted
    )


async def begin(
    consumer: AIOKafkaConsumer,
    partitions: list[TopicPartition],
    only: Collection[LetterId],
    after: Collection[LetterId],
    troubles: Troubles | None,
) -> dict[TopicPartition, int]:
    """Seek to the first dead letters; return the end offsets of the partitions that have any."""
    extents = await _extents(consumer, partitions, troubles)
    for each in after:
        tp = TopicPartition(each.topic, each.partition)
        if tp in extents:
            start, end = extents[tp]
            extents[tp] = max(start, each.offset + 1), end
    if only:
        offsets: dict[TopicPartition, list[int]] = {}
        for each in only:
            offsets.setdefault(TopicPartition(each.topic, each.partition), []).append(each.offset)
        extents = {
            tp: (max(start, min(offsets[tp])), min(end, max(offsets[tp]) + 1))
            for tp, (start, end) in extents.items()
        }
    places = {tp: extent for tp, extent in extents.items() if extent[0] < extent[1]}
    if places:
        # Only once: aiokafka hangs if it is reassigned while it closes.
        consumer.assign(list(places))
    for tp, (start, _) in places.items():
        consumer.seek(tp, start)
    return {tp: end for tp, (_, end) in places.items()}


async def extents_at_once(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first and the end offset of each partition.

    Raises:
        KafkaError: The offsets of at least one partition are not available.
    """
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    return {tp: (starts[tp], ends[tp]) for tp in partitions}


async def _extents(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], troubles: Troubles | None
) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first and the end offsets: in one request, or one by one if that fails."""
    try:
        return await extents_at_once(consumer, partitions)
    except KafkaError:
        if troubles is None:
            raise
    extents: dict[TopicPartition, tuple[int, int]] = {}
    answers = await asyncio.gather(
        *(extents_at_once(consumer, [tp]) for tp in partitions), return_exceptions=True
    )
    for tp, answer in zip(partitions, answers, strict=True):
        if isinstance(answer, dict):
            extents |= answer
        elif isinstance(answer, KafkaError):
            note(troubles, [tp], answer)
        else:
            raise answer
    return extents
