"""Where the partitions end that dead letters are replayed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.structs import TopicPartition

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from tracing.headers.dead_letter import Provenance


class PartitionEnds:
    """Looks up, once for each topic, where its partitions ended before the first replay to them.

    For one task.

    Args:
        producer: Knows which partitions there are.
        consumer: Asks where they end.
    """

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self._producer = producer
        self._consumer = consumer
        self._ends: dict[str, dict[int, int]] = {}
        self._unreachable: dict[str, Exception] = {}

    async def end_for(self, provenance: Provenance) -> int | None:
        """Return the end offset of a dead letter's partition; `None` if it does not say which.

        Raises:
            LookupError: The partition never held the record. The marks do not work there, so every
                group would handle the record.
            KafkaError: The cluster does not answer for the topic.
        """
        topic, partition, offset = provenance.topic, provenance.partition, provenance.offset
        ends = await self._ends_of(topic)
        if partition < 0:
            return None
        if partition not in ends:
            raise LookupError(
                f"{topic} has no partition {partition}: the topic was probably created anew"
            )
        end = ends[partition]
        if 0 < end <= offset:
            raise LookupError(
                f"{topic}[{partition}] ends at {end} and never had a record {offset}: the topic "
                "was probably created anew"
            )
        return end

    async def _ends_of(self, topic: str) -> dict[int, int]:
        if topic in self._unreachable:
            # A deleted topic is slow to fail, and would be slow for each dead letter.
            raise self._unreachable[topic]
        if topic not in self._ends:
            try:
                numbers = await self._producer.partitions_for(topic)
                ends = await self._consumer.end_offsets(
                    [TopicPartition(topic, number) for number in sorted(numbers)]
                )
                self._ends[topic] = {tp.partition: end for tp, end in ends.items()}
            except Exception as error:
                self._unreachable[topic] = error
                raise
        return self._ends[topic]
