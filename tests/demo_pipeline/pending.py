"""The number of records that each group has not committed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_FETCH_MS: Final = 30
_BEYOND_MS: Final = 300


async def pending_records(
    bootstrap_servers: str, readers: Mapping[str, Collection[str]], partitions: Mapping[str, int]
) -> Mapping[tuple[str, str], int]:
    """Count the records that each group has not committed.

    Args:
        bootstrap_servers: The cluster.
        readers: The topics that each group reads.
        partitions: The number of partitions of each topic.

    Returns:
        The number of records by group and topic. A group without commits has all records pending:
        the demo's services read from the beginning.
    """
    logs = await _logs(bootstrap_servers, partitions)
    committed = await asyncio.gather(
        *(
            _committed(bootstrap_servers, group, [tp for tp in logs if tp.topic in topics])
            for group, topics in readers.items()
        )
    )
    counts: Counter[tuple[str, str]] = Counter()
    for group, offsets in zip(readers, committed, strict=True):
        for place, offset in offsets.items():
            beginning, end = logs[place]
            done = beginning if offset is None else offset
            counts[group, place.topic] += max(0, end - done)
    return counts


async def _logs(
    bootstrap_servers: str, partitions: Mapping[str, int]
) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first and the end offset of each partition."""
    places = [
        TopicPartition(topic, n) for topic, number in partitions.items() for n in range(number)
    ]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, fetch_max_wait_ms=_FETCH_MS)
    try:
        await consumer.start()
        consumer.assign(places)
        beginnings = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        # The embedded broker sometimes reports an end that is one record too low.
        for place, end in ends.items():
            consumer.seek(place, end)
        while beyond := await consumer.getmany(timeout_ms=_BEYOND_MS):
            for place, records in beyond.items():
                ends[place] = max(ends[place], records[-1].offset + 1)
    finally:
        await consumer.stop()
    return {place: (beginnings[place], ends[place]) for place in places}


async def _committed(
    bootstrap_servers: str, group: str, places: Iterable[TopicPartition]
) -> dict[TopicPartition, int | None]:
    # A manual assignment joins no group, and so does not disturb it.
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False
    )
    try:
        await consumer.start()
        consumer.assign(places)
        return {place: await consumer.committed(place) for place in places}
    finally:
        await consumer.stop()
