"""Move a consumer group past a record, and keep the record."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import CommitFailedError

from tracing.core.text import counted
from tracing.delivery.dead_letters import DeadLetters
from tracing.dlq.reading import reader
from tracing.kafka.cluster import EARLIEST, Cluster
from tracing.kafka.groups import Groups
from tracing.kafka.producer import TracedProducer
from tracing.kafka.raw_fetch import RawFetch
from tracing.messaging.unreadable import BrokenRecord, UnreadableRecord
from tracing.telemetry import Telemetry

if TYPE_CHECKING:
    from pathlib import Path

    from aiokafka.structs import TopicPartition

    from tracing.kafka.connection import Connection
    from tracing.kafka.raw_fetch import RawPart
    from tracing.kafka.raw_records import RawRecord

_PIPELINE: Final = "dead-letters"
_LARGEST: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Skip:
    """A planned skip.

    Attributes:
        group: The consumer group.
        tp: The partition.
        committed: The offset that the group has committed; `None` if it has committed none, so it
            is at the beginning.
        records: The records to skip.
        behind: Number of records that follow in the batch of the last one.
        next_offset: The offset that the group will continue at.
    """

    group: str
    tp: TopicPartition
    committed: int | None
    records: tuple[RawRecord, ...]
    behind: int
    next_offset: int


async def skippable(
    connection: Connection,
    group: str,
    tp: TopicPartition,
    offset: int,
    *,
    whole_batch: bool = False,
    timeout_s: float = 30.0,
) -> Skip:
    """Plan to skip the next record of a group.

    Args:
        connection: The cluster.
        group: The consumer group; it must have no members.
        tp: The partition.
        offset: The offset of the record, which must be the next one of the group.
        whole_batch: Whether to skip the rest of its batch as well.
        timeout_s: How long to wait for a broker, in seconds.

    Raises:
        LookupError: The partition or the record does not exist.
        ValueError: The group has members, or its next record is a different one.
        KafkaError: The cluster does not answer, or refuses.
    """
    committed, start = await _position(connection, group, tp, timeout_s)
    # If retention has deleted the committed offset, the group continues at the log's start.
    position = start if committed is None else max(start, committed)
    async with reader(connection) as consumer:
        consumer.assign([tp])
        part = await RawFetch(consumer).read(tp, position)
        if part is None or not _begins(part, offset, position):
            # A group that reads uncommitted data may be at a record of an aborted transaction.
            other = await RawFetch(consumer, committed_only=False).read(tp, position)
            if part is None or (other is not None and _begins(other, offset, position)):
                part = other
    if part is None:
        raise LookupError(f"{_name(tp)} has no record at offset {position} or after it")
    if not _begins(part, offset, position):
        raise ValueError(
            f"group {group} is not at offset {offset} of {_name(tp)}, but at {position}"
            f"{' (it has committed nothing)' if committed is None else ''}; its next record is at "
            f"{part.records[0].offset}"
        )
    records = part.records if whole_batch else part.records[:1]
    behind = len(part.records) - len(records)
    next_offset = records[-1].next_offset if behind else part.next_offset
    return Skip(group, tp, committed, records, behind, max(next_offset, records[-1].offset + 1))


def _begins(part: RawPart, offset: int, position: int) -> bool:
    """Return whether the first record from a group's position covers an offset."""
    first = part.records[0].offset
    return offset == first or (offset == position and first < position)


async def _position(
    connection: Connection, name: str, tp: TopicPartition, timeout_s: float
) -> tuple[int | None, int]:
    """Return what a group without members has committed, and the log's first offset."""
    async with Cluster(connection, timeout_s) as cluster:
        await cluster.refresh([tp.topic])
        if tp not in cluster.partitions:
            raise LookupError(f"{_name(tp)} does not exist, or may not be described")
        groups = Groups(cluster)
        described = await groups.described([name])
        answers = [await groups.commits(group) for group in described]
        starts = await cluster.offsets([tp], EARLIEST)
        refused = sorted(cluster.remarks.missing_rights | cluster.remarks.unanswered)
    if not described or answers[0] is None or tp not in starts or refused:
        raise LookupError(f"the position of group {name} is not known: {', '.join(refused)}")
    (group,), offsets = described, answers[0].offsets
    # A group that does not exist has no members. The broker refuses a commit beside members.
    if group.members:
        raise ValueError(
            f"group {name} has {counted(group.members, 'member')}: stop all first, or the group "
            "continues at the old offset and overwrites this commit"
        )
    return offsets.get(tp), starts[tp]


def save(skip: Skip, file: Path) -> None:
    """Write the records to a new file that only its owner may read: they may hold personal data.

    Raises:
        FileExistsError: The file exists.
        OSError: The file cannot be written.
    """
    document = {
        "topic": skip.tp.topic,
        "partition": skip.tp.partition,
        "group": skip.group,
        "records": [
            {
                "offset": record.offset,
                "next_offset": record.next_offset,
                "timestamp_ms": record.timestamp_ms,
                "problem": record.problem,
                "whole": record.whole,
                "key": _base64(record.key),
                "value": _base64(record.value),
                "headers": [[name, _base64(value)] for name, value in record.headers],
            }
            for record in skip.records
        ],
    }
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as target:
        json.dump(document, target, indent=2)
        target.flush()
        os.fsync(target.fileno())


async def bury(connection: Connection, skip: Skip, *, dead_letter_topic: str) -> None:
    """Send the records to the dead-letter topic of the topic and group.

    Raises:
        ValueError: `dead_letter_topic` is not a template.
        KafkaError: The cluster does not answer, or refuses.
    """
    client = AIOKafkaProducer(**connection.client(), acks="all", max_request_size=_LARGEST)
    producer = TracedProducer(client, Telemetry(_PIPELINE))
    dead_letters = DeadLetters(producer, topic=dead_letter_topic)
    async with producer:
        for raw in skip.records:
            record: Any = BrokenRecord(
                topic=skip.tp.topic, partition=skip.tp.partition, offset=raw.offset,
                next_offset=raw.next_offset, timestamp=raw.timestamp_ms, key=raw.key,
                value=raw.value, headers=raw.headers, whole=raw.whole,
                problem=raw.problem or "it was skipped by hand",
            )  # fmt: skip
            await dead_letters.publish(
                record,
                UnreadableRecord(record),
                group=skip.group,
                attempts=0,
                first_failed_at_ms=int(time() * 1000),
            )


async def skip_to(connection: Connection, skip: Skip) -> None:
    """Commit the offset after the records for the group.

    Raises:
        ValueError: The group has committed meanwhile, or has members again.
        KafkaError: The cluster refuses.
    """
    consumer = AIOKafkaConsumer(
        **connection.client(), group_id=skip.group, enable_auto_commit=False
    )
    async with consumer:
        consumer.assign([skip.tp])
        committed = await consumer.committed(skip.tp)
        if committed != skip.committed:
            raise ValueError(
                f"group {skip.group} has meanwhile committed {committed} of {_name(skip.tp)}, so "
                "it was not moved; the records are kept"
            )
        try:
            await consumer.commit({skip.tp: skip.next_offset})
        except CommitFailedError:
            # The error's own text is about a slow member.
            raise ValueError(
                f"group {skip.group} has members again, so it was not moved; the records are kept. "
                "Stop the members and try again"
            ) from None


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic}[{tp.partition}]"


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
