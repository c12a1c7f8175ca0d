"""Deleting dead letters that nobody needs any more, from the oldest on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tracing.dlq.connection import Connection
    from tracing.dlq.letters import Letter


@dataclass(slots=True)
class Purge:
    """What can be deleted: of each partition, all that comes before an offset.

    Attributes:
        before: The offsets.
        letters: How many letters that is.
        kept: How many stay, be it that they are not meant or that one before them is not.
    """

    before: dict[TopicPartition, int] = field(default_factory=dict)
    letters: int = 0
    kept: int = 0


async def purgeable(letters: AsyncIterator[Letter], *, before_ms: int | None) -> Purge:
    """See what can be deleted: Kafka deletes only from a partition's beginning.

    Args:
        letters: All letters of the topics.
        before_ms: Only what failed before this time, unix ms, up to the first letter that did
            not; by default all.
    """
    found = Purge()
    ended: set[TopicPartition] = set()
    async for letter in letters:
        tp = TopicPartition(letter.id.topic, letter.id.partition)
        failed = letter.record.timestamp
        if letter.provenance is not None:
            failed = letter.provenance.failed_at_ms
        if tp in ended or (before_ms is not None and failed >= before_ms):
            ended.add(tp)
            found.kept += 1
        else:
            found.before[tp] = letter.id.offset + 1
            found.letters += 1
    return found


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
