"""What the broker has: offsets, and the dead letters with the reasons that they carry."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from demo_pipeline.services import ALL_TOPICS, DEAD_LETTER_TOPICS, SERVICES
from tracing.headers import dead_letter

if TYPE_CHECKING:
    from collections.abc import Mapping

_WAIT_MS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """What the broker has of the shop.

    Attributes:
        ends: Number of records, by topic.
        committed: Number of records that a group has committed, by group and topic.
        reasons: Number of dead letters, by group, topic and error.
        oldest_ms: The time of the oldest dead letter, unix ms, by group and topic.
        brokers: Number of brokers.
    """

    ends: Mapping[str, int]
    committed: Mapping[tuple[str, str], int]
    reasons: Mapping[tuple[str, str, str], int]
    oldest_ms: Mapping[tuple[str, str], int]
    brokers: int

    @property
    def dead_letters(self) -> dict[tuple[str, ...], float]:
        """Number of dead letters, by group and topic."""
        kept: Counter[tuple[str, ...]] = Counter()
        for (group, topic, _), number in self.reasons.items():
            kept[group, topic] += number
        return {key: float(number) for key, number in kept.items()}


async def read_broker(bootstrap_servers: str) -> Broker:
    """Read offsets and dead letters."""
    committed: Counter[tuple[str, str]] = Counter()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        brokers = len((await admin.describe_cluster())["brokers"])
        for group in SERVICES:
            for partition, held in (await admin.list_consumer_group_offsets(group)).items():
                committed[group, partition.topic] += held.offset
    finally:
        await admin.close()
    ends: Counter[str] = Counter()
    reasons: Counter[tuple[str, str, str]] = Counter()
    oldest_ms: dict[tuple[str, str], int] = {}
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap_servers) as consumer:
        partitions = [
            TopicPartition(topic, number)
            for topic, count in {**ALL_TOPICS, **DEAD_LETTER_TOPICS}.items()
            for number in range(count)
        ]
        by_partition = await consumer.end_offsets(partitions)
        for partition, end in by_partition.items():
            ends[partition.topic] += end
        kept = [each for each in partitions if each.topic in DEAD_LETTER_TOPICS]
        consumer.assign(kept)
        await consumer.seek_to_beginning(*kept)
        left = sum(by_partition[each] for each in kept)
        while left > 0:
            polled = await consumer.getmany(timeout_ms=_WAIT_MS)
            if not polled:
                raise TimeoutError(f"{left} dead letters are missing")
            for record in (record for each in polled.values() for record in each):
                left -= 1
                said = {name: bytes(value or b"").decode() for name, value in record.headers}
                hop = said[dead_letter.GROUP], said[dead_letter.TOPIC]
                reasons[*hop, said[dead_letter.EXCEPTION]] += 1
                oldest_ms[hop] = min(record.timestamp, oldest_ms.get(hop, record.timestamp))
    return Broker(
        ends=ends, committed=committed, reasons=reasons, oldest_ms=oldest_ms, brokers=brokers
    )
