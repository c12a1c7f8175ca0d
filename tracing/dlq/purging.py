"""Delete dead letters that are no longer needed, oldest first."""

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
    """What can be deleted: everything before an offset of each partition.

    Attributes:
        before: The offset of each partition.
        letters: Number of records that can be deleted.
        not_dead_letters: How many of these have no provenance, so they are not dead letters.
        kept: Number of records that stay: not selected, or behind one that is not selected.
        blocked: How many of the kept records are selected.
    """

    before: dict[TopicPartition, int] = field(default_factory=dict)
    letters: int = 0
    not_dead_letters: int = 0
    kept: int = 0
    blocked: int = 0


async def purgeable(
    dead_letters: AsyncIterator[Letter],
    *,
    before_ms: int | None = None,
    up_to: Collection[LetterId] | None = None,
) -> Purge:
    """Work out what can be deleted: Kafka deletes only from the beginning of a partition.

    Args:
        dead_letters: All dead letters of the topics.
        before_ms: Delete up to the first dead letter that failed at or after this time, unix ms;
            by default all.
        up_to: Delete these dead letters and all before them in their partitions; by default all.
    """
    plan = Purge()
    last: dict[TopicPartition, int] = {}
    for chosen in up_to or ():
        tp = TopicPartition(chosen.topic, chosen.partition)
        last[tp] = max(chosen.offset, last.get(tp, 0))
    ended: set[TopicPartition] = set()
    async for dead_letter in dead_letters:
        tp = TopicPartition(dead_letter.id.topic, dead_letter.id.partition)
        selected = (before_ms is None or failed_at_ms(dead_letter) < before_ms) and (
            up_to is None or dead_letter.id.offset <= last.get(tp, -1)
        )
        if tp in ended or not selected:
            ended.add(tp)
            plan.kept += 1
            plan.blocked += selected
        else:
            plan.before[tp] = dead_letter.id.offset + dead_letter.offsets
            plan.letters += 1
            plan.not_dead_letters += dead_letter.provenance is None
    return plan


def failed_at_ms(dead_letter: Letter) -> int:
    """Return when a dead letter failed, unix ms; if that is unknown, when it was written."""
    provenance = dead_letter.provenance
    if provenance is None or provenance.failed_at_ms <= 0:
        return dead_letter.record.timestamp
    return provenance.failed_at_ms


async def purge(connection: Connection, plan: Purge) -> None:
    """Delete the dead letters permanently.

    Raises:
        KafkaError: The cluster refuses; some partitions may already be purged.
    """
    if not plan.before:
        return
    admin = AIOKafkaAdminClient(**connection.client())
    try:
        await admin.start()
        await admin.delete_records(
            {tp: RecordsToDelete(offset) for tp, offset in plan.before.items()}
        )
    finally:
        await admin.close()
