"""Where dead letters lie, and which places can be read: trouble with one is none of the others'."""

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
"""Why some partitions, or topics, could not be read, by `topic[partition]` or by topic."""


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


def note(troubles: Troubles | None, partitions: Iterable[TopicPartition], error: Exception) -> None:
    """Note what keeps partitions from being read, or raise it where that is not wanted."""
    noted = {f"{tp.topic}[{tp.partition}]": error for tp in partitions}
    if troubles is None or not noted:
        raise error
    troubles.update(noted)


async def partitions_of(
    connection: Connection,
    topics: Collection[str],
    only: LetterId | None,
    troubles: Troubles | None,
) -> list[TopicPartition]:
    """Return the partitions to read.

    Raises:
        LookupError: A topic does not exist, and no other one does.
    """
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
        error = LookupError(f"there is no topic {', '.join(missing)} that may be read")
        if troubles is None or not found:
            raise error
        troubles.update(dict.fromkeys(missing, error))
    return sorted(
        TopicPartition(topic, partition["partition"])
        for topic, partitions in found.items()
        for partition in partitions
        if only is None or (topic, partition["partition"]) == (only.topic, only.partition)
    )


async def begin(
    consumer: AIOKafkaConsumer,
    partitions: list[TopicPartition],
    only: LetterId | None,
    troubles: Troubles | None,
) -> dict[TopicPartition, int]:
    """Go to the first letters; returns where they end, of the partitions that have some."""
    extents = await _extents(consumer, partitions, troubles)
    if only is not None:
        extents = {
            tp: (max(start, only.offset), min(end, only.offset + 1))
            for tp, (start, end) in extents.items()
        }
    places = {tp: extent for tp, extent in extents.items() if extent[0] < extent[1]}
    if places:
        # Once alone: aiokafka does not end where it is assigned anew and closed at the same time.
        consumer.assign(list(places))
    for tp, (start, _) in places.items():
        consumer.seek(tp, start)
    return {tp: end for tp, (_, end) in places.items()}


async def extents_at_once(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> dict[TopicPartition, tuple[int, int]]:
    """Ask where partitions begin and end.

    Raises:
        KafkaError: That is not known of one of them.
    """
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    return {tp: (starts[tp], ends[tp]) for tp in partitions}


async def _extents(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], troubles: Troubles | None
) -> dict[TopicPartition, tuple[int, int]]:
    """Find where partitions begin and end: all at once, or one by one where that does not go."""
    try:
        return await extents_at_once(consumer, partitions)
    except KafkaError:
        if troubles is None:
            raise
    found: dict[TopicPartition, tuple[int, int]] = {}
    answers = await asyncio.gather(
        *(extents_at_once(consumer, [tp]) for tp in partitions), return_exceptions=True
    )
    for tp, answer in zip(partitions, answers, strict=True):
        if isinstance(answer, dict):
            found |= answer
        elif isinstance(answer, KafkaError):
            note(troubles, [tp], answer)
        else:
            raise answer
    return found
