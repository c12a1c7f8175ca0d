"""Deleting dead letters that nobody needs any more, from the oldest on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from tracing.dlq.places import LetterId
    from tracing.dlq.reading import Letter
    from tracing.kafka.connection import Connection


@dataclass(slots=True)
class Purge:
    """What can be deleted: of each partition, all that comes before an offset.

    Attributes:
        before: The offsets.
        letters: How many records that is.
        strangers: How many of them have no provenance, and thus are no dead letters.
        kept: How many stay, be it that they are not meant or that one before them is not.
        blocked: How many of those are meant, but come after one that is not.
    """

    before: dict[TopicPartition, int] = field(default_factory=dict)
    letters: int = 0
    strangers: int = 0
    kept: int = 0
    blocked: int = 0


async def purgeable(
    letters: AsyncIterator[Letter],
    *,
    before_ms: int | None = None,
    up_to: Collection[LetterId] | None = None,
) -> Purge:
    """See what can be deleted: Kafka deletes only from a partition's beginning.

    Args:
        letters: All letters of the topics.
        before_ms: Only what failed before this time, unix ms, up to the first letter that did
            not; by default all.
        up_to: Only these letters and what comes before them in their partitions; by default all.
    """
    found = Purge()
    last: dict[TopicPartition, int] = {}
    for place in up_to or ():
        tp = TopicPartition(place.topic, place.partition)
        last[tp] = max(place.offset, last.get(tp, 0))
    ended: set[TopicPartition] = set()
    async for letter in letters:
        tp = TopicPartition(letter.id.topic, letter.id.partition)
        meant = (before_ms is None or failed_at_ms(letter) < before_ms) and (
            up_to is None or letter.id.offset <= last.get(tp, -1)
        )
        if tp in ended or not meant:
            ended.add(tp)
            found.kept += 1
            found.blocked += meant
        else:
            found.before[tp] = letter.id.offset + letter.offsets
            found.letters += 1
            found.strangers += letter.provenance is None
    return found


def failed_at_ms(letter: Letter) -> int:
    """When a letter failed, unix ms; when it was written, where that is not known."""
    found = letter.provenance
    if found is None or found.failed_at_ms <= 0:
        return letter.record.timestamp
    return found.failed_at_ms


async def purge(connection: Connection, found: Purge) -> None:
    """Delete the letters for good.

    Raises:
        KafkaError: The cluster refuses; partitions that came before may be done.
    """
    if not found.before:
        return
    admin = AIOKafkaAdminClient(**connection.client())
    try:
        await admin.start()
        await admin.delete_records(
            {tp: RecordsToDelete(offset) for tp, offset in found.before.items()}
        )
    finally:
        await admin.close()
