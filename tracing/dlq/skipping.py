"""Getting a consumer group past a record by hand, with the record kept."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import CommitFailedError

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
    """What a group would be taken past.

    Attributes:
        group: The consumer group.
        tp: The partition.
        committed: The offset at which the group stands; `None` where it has committed none, and
            stands at the beginning.
        records: The records that would be skipped.
        behind: How many more records are in the batch of the last one.
        next_offset: Where the group would stand.
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
    """See what skipping the record at which a group stands would mean.

    Args:
        connection: The cluster.
        group: The consumer group; it must have no members.
        tp: The partition.
        offset: The record's offset, where the group stands.
        whole_batch: Whether to skip all that is behind it in its batch as well.
        timeout_s: How long to wait for a broker, in seconds.

    Raises:
        LookupError: There is no such partition or record.
        ValueError: The group has members, or stands elsewhere.
        KafkaError: The cluster does not answer, or refuses.
    """
    committed, start = await _standing(connection, group, tp, timeout_s)
    # Where retention has deleted what it committed, it goes on at what is left.
    stands_at = start if committed is None else max(start, committed)
    async with reader(connection) as consumer:
        consumer.assign([tp])
        part = await RawFetch(consumer).read(tp, stands_at)
        if part is None or not _begins(part, offset, stands_at):
            # Groups that read uncommitted records stand at what a transaction took back, too.
            other = await RawFetch(consumer, committed_only=False).read(tp, stands_at)
            if part is None or (other is not None and _begins(other, offset, stands_at)):
                part = other
    if part is None:
        raise LookupError(f"{_name(tp)} has no record at offset {stands_at} or behind it")
    if not _begins(part, offset, stands_at):
        raise ValueError(
            f"group {group} does not stand at offset {offset} of {_name(tp)}, but at "
            f"{stands_at}{' (it has committed nothing)' if committed is None else ''}, and the "
            f"next record there is {part.records[0].offset}"
        )
    records = part.records if whole_batch else part.records[:1]
    behind = len(part.records) - len(records)
    next_offset = records[-1].next_offset if behind else part.next_offset
    return Skip(group, tp, committed, records, behind, max(next_offset, records[-1].offset + 1))


def _begins(part: RawPart, offset: int, stands_at: int) -> bool:
    """Return whether the first record is at an offset, and no other one from where a group is."""
    first = part.records[0].offset
    return offset == first or (offset == stands_at and first < stands_at)


async def _standing(
    connection: Connection, name: str, tp: TopicPartition, timeout_s: float
) -> tuple[int | None, int]:
    """Return what a group without members has committed, and where the log begins."""
    async with Cluster(connection, timeout_s) as cluster:
        await cluster.refresh([tp.topic])
        if tp not in cluster.partitions:
            raise LookupError(f"there is no {_name(tp)} that may be described")
        groups = Groups(cluster)
        described = await groups.described([name])
        answers = [await groups.commits(group) for group in described]
        starts = await cluster.offsets([tp], EARLIEST)
        refused = sorted(cluster.remarks.missing_rights | cluster.remarks.unanswered)
    if not described or answers[0] is None or tp not in starts or refused:
        raise LookupError(f"how group {name} stands is not known: {', '.join(refused)}")
    (group,), (_, offsets) = described, answers[0]
    # A group that is not there has none; and the broker refuses a commit beside members.
    if group.members:
        raise ValueError(
            f"group {name} has {group.members} members: stop them first, or they would go on at "
            "the old offset, and commit over this"
        )
    return offsets.get(tp), starts[tp]


def save(skip: Skip, file: Path) -> None:
    """Write the records to a new file, for its owner alone: payloads may hold personal data.

    Raises:
        FileExistsError: The file exists.
        OSError: It cannot be written.
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
        ValueError: `dead_letter_topic` is no template.
        KafkaError: The cluster does not answer, or refuses.
    """
    bare = AIOKafkaProducer(**connection.client(), acks="all", max_request_size=_LARGEST)
    producer = TracedProducer(bare, Telemetry(_PIPELINE))
    letters = DeadLetters(producer, topic=dead_letter_topic)
    async with producer:
        for raw in skip.records:
            record: Any = BrokenRecord(
                topic=skip.tp.topic, partition=skip.tp.partition, offset=raw.offset,
                next_offset=raw.next_offset, timestamp=raw.timestamp_ms, key=raw.key,
                value=raw.value, headers=raw.headers, whole=raw.whole,
                problem=raw.problem or "it was skipped by hand",
            )  # fmt: skip
            await letters.publish(
                record,
                UnreadableRecord(record),
                group=skip.group,
                attempts=0,
                first_failed_at_ms=int(time() * 1000),
            )


async def skip_to(connection: Connection, skip: Skip) -> None:
    """Commit for the group that it stands behind the records.

    Raises:
        ValueError: The group has committed since, or has members again.
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
                f"group {skip.group} has committed {committed} of {_name(skip.tp)} since it was "
                "looked at, so it is left there; the records are kept"
            )
        try:
            await consumer.commit({skip.tp: skip.next_offset})
        except CommitFailedError:
            # Its own text is about a member that was too slow.
            raise ValueError(
                f"group {skip.group} has members again, so it is left where it is; the records "
                "are kept. Stop the members, and look again"
            ) from None


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic}[{tp.partition}]"


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
